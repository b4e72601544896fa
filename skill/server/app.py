"""The routes of the front door, as an ASGI application."""

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from strop.errors import BadRecord, Forgotten, StropError, UnknownInteraction
from strop.server.backend import CHAT
from strop.server.forward import Forwarder
from strop.server.guard import Guard, Refused, read_json
from strop.server.metrics import Metrics
from strop.server.pointer import Pointer
from strop.server.probation import Watch
from strop.server.reactions import react
from strop.server.recording import Recorder
from strop.server.settings import ServeSettings

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

_FEEDBACK = frozenset({"interaction", "rating", "correction", "note", "user", "key"})
# Whoever may reach the server may ask for its health, as often as they like.
_HEALTH_AGE_S = 1.0


class FrontDoor:
    """All that the routes need. `app(token, names)` makes the application."""

    def __init__(
        self, pointer: Pointer, recorder: Recorder, watch: Watch, metrics: Metrics, settings: ServeSettings
    ) -> None:
        self._pointer, self._recorder, self._watch = pointer, recorder, watch
        self._metrics, self._settings = metrics, settings
        self.forwarder = Forwarder(pointer, recorder, watch, metrics, settings)

    def app(self, token: str, names: set[str]) -> "ASGIApp":
        """The application: guarded, and without any CORS header."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        routes = [
            Route(CHAT, self.forwarder, methods=["POST"]),  # for what has to be said of other methods
            Route("/v1/feedback", self.feedback, methods=["POST"]),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/v1/models/{name}", self.model, methods=["GET"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]
        handlers: Any = {404: _no_such, 405: _no_such}
        others = Starlette(routes=routes, exception_handlers=handlers)
        others.router.redirect_slashes = False

        async def routed(scope: "Scope", receive: "Receive", send: "Send") -> None:
            # Nearly every request is this one, and a router's wrappers cost it time at every piece of an answer.
            chat = scope["type"] == "http" and scope["path"] == CHAT and scope["method"] == "POST"
            await (self.forwarder if chat else others)(scope, receive, send)

        return Guard(routed, token, names)

    async def models(self, request: "Request") -> "Response":
        """The live version, alone: every request is answered by it, whatever model it names."""
        facts = self._facts()
        return _json(200, {"object": "list", "data": [facts] if facts else []})

    async def model(self, request: "Request") -> "Response":
        """The live version by its tag."""
        facts = self._facts()
        if facts is None or request.path_params["name"] != facts["id"]:
            return _refused(Refused(404, "model_not_found", "the live version alone answers: GET /v1/models"))
        return _json(200, facts)

    async def healthz(self, request: "Request") -> "Response":
        """200 where the live version's server runs, else 503: `starting` by us, or `down`, which we cannot change."""
        current = self._pointer.current
        up = current is not None and await current.up(_HEALTH_AGE_S)
        status = "ok" if up else "starting" if current is None or current.child is not None else "down"
        return _json(200 if up else 503, {"status": status, "version": self._pointer.tag})

    async def metrics(self, request: "Request") -> "Response":
        """Figures for Prometheus."""
        from starlette.responses import Response

        gauges = {
            "strop_requests_open": float(self.forwarder.open),
            "strop_spool_waiting": float(self._recorder.spool.waiting),
            "strop_kept_warm": float(self._pointer.kept is not None),
        }
        if self._pointer.tag:
            gauges[f'strop_live_info{{version="{self._pointer.tag}"}}'] = 1.0
        return Response(self._metrics.text(gauges), media_type="text/plain; version=0.0.4")

    async def feedback(self, request: "Request") -> "Response":
        """What a person made of an answer: `interaction` with `rating` (up, down, 1 to 5), `correction` or `note`.

        `user` says who (the owner where nobody is named), `key` names the event, so that it may be sent at any time
        again; without one, what says the same as that person's newest reaction counts once (`reactions`).
        """
        try:
            said = _checked(await read_json(request.receive, self._settings.max_body_bytes))
            await self._recorder.flush()
            stored = await asyncio.to_thread(react, self._recorder, said)
        except Refused as refused:
            return _refused(refused)
        except UnknownInteraction as error:
            return _refused(Refused(404, error.code, str(error)))
        except Forgotten as error:
            return _refused(Refused(410, error.code, str(error)))
        except BadRecord as error:
            return _refused(Refused(400, error.code, str(error)))
        except StropError as error:
            return _refused(Refused(503, error.code, str(error), retry_after_s=1))
        for part in stored.new:
            self._metrics.count("strop_feedback_total", kind=part)
        if "rating" in stored.new and said["rating"] in ("up", "down"):
            self._watch.thumb(stored.version, said["rating"] == "down")
        answer = {"interaction": said["interaction"], "version": stored.version, "signals": stored.signals}
        return _json(200, answer)

    def _facts(self) -> dict[str, Any] | None:
        current = self._pointer.current
        if current is None:
            return None
        made = int(current.version.created.timestamp())
        return {"id": current.tag, "object": "model", "created": made, "owned_by": "strop"}


def _checked(said: dict[str, Any]) -> dict[str, Any]:
    if unknown := sorted(set(said) - _FEEDBACK):
        raise Refused(400, "unknown_field", f"{unknown[0]!r} is unknown; known are {', '.join(sorted(_FEEDBACK))}")
    for name in ("interaction", "correction", "note", "user", "key"):
        if said.get(name) is not None and not isinstance(said[name], str):
            raise Refused(400, "bad_record", f"{name}: a text is needed")
    if not said.get("interaction"):
        raise Refused(400, "bad_record", "interaction: give the id that X-Strop-Interaction said")
    if all(said.get(name) is None for name in ("rating", "correction", "note")):
        raise Refused(400, "bad_record", "give a rating, a correction or a note")
    return said


def _json(status: int, data: Mapping[str, Any]) -> "Response":
    from starlette.responses import Response

    return Response(json.dumps(data), status, media_type="application/json")


def _refused(refused: Refused) -> "Response":
    from starlette.responses import Response

    again = {} if refused.retry_after_s is None else {"Retry-After": str(refused.retry_after_s)}
    return Response(refused.body(), refused.status, again, "application/json")


def _no_such(request: "Request", error: Exception) -> "Response":
    status = int(getattr(error, "status_code", 404))
    return _refused(Refused(status, "not_found", f"nothing answers {request.method} {request.url.path}"))
