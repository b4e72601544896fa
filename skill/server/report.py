"""What `strop status` says of the front door: where it answers, how the live version's probation goes, what it did."""

from typing import Any

from strop.deploy.versions import Versions
from strop.home import Home
from strop.server.probation import said
from strop.server.room import written_down
from strop.server.running import health, running

_NOT_OK = {
    "starting": "its model's server is starting",
    "down": "its model's server does not answer: ollama serve",
    "silent": "it does not answer itself",
}


def serving(home: Home, live: str | None) -> dict[str, Any]:
    """The facts, and one `sentence` of them. Changes nothing and makes nothing."""
    server = running(home)
    facts: dict[str, Any] = {"url": f"{server.url}/v1" if server else None, "pid": server.pid if server else None}
    facts["health"] = health(server) if server else None
    facts.update(_probation(home, live), rolled_back=_rolled_back(home, live))
    facts["context"] = written_down(home, live)
    return {**facts, "sentence": _sentence(facts)}


def _probation(home: Home, live: str | None) -> dict[str, Any]:
    data = said(home.path / "serve" / "probation.json")
    held_up = data.get("held_up")
    held_up = held_up if isinstance(held_up, dict) and held_up.get("tag") == live else None
    if live is None or data.get("tag") != live:
        return {"probation": None, "warning": "", "held_up": held_up}
    seen = data.get("seen", {}).get(live, {})
    on = {"answers": int(seen.get("answers", 0)), "of": int(data.get("of", 0))} if data.get("on_probation") else None
    return {"probation": on, "warning": str(data.get("warning", "")), "held_up": held_up}


def _rolled_back(home: Home, live: str | None) -> dict[str, str] | None:
    """Which version probation sent back, and why, where that made the live one live."""
    if live is None:
        return None
    last = [event for event in Versions(home.state_db).events(live) if event.to_state == "live"][-1:]
    if not last or last[0].evidence.get("by") != "probation":
        return None
    evidence = last[0].evidence
    return {"from": str(evidence["from"]), "reason": str(evidence["reason"]), "time": last[0].time.isoformat()}


def _sentence(facts: dict[str, Any]) -> str:
    parts = [f"at {facts['url']}" if facts["url"] else "no strop serve runs"]
    if facts["health"] not in (None, "ok"):
        parts.append(_NOT_OK.get(facts["health"], f"not answering ({facts['health']})"))
    if facts["context"]:
        parts.append(str(facts["context"]["reason"]))
    if facts["probation"]:
        parts.append(f"on probation, {facts['probation']['answers']} of {facts['probation']['of']} answers")
    if facts["warning"]:
        parts.append(f"warning: {facts['warning']}")
    if facts["held_up"]:
        late = facts["held_up"]
        parts.append(
            f"{late['tag']} is to be rolled back ({late['reason']}), which strop serve tries again until it can: "
            f"{late['error']}"
        )
    if facts["rolled_back"]:
        back = facts["rolled_back"]
        parts.append(f"{back['from']} was rolled back by itself: {back['reason']}")
    return "; ".join(parts)
