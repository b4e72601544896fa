"""Probation: a version that has just gone live is watched, and sent back by itself where it fails.

For 200 answers or 7 days. Errors, endless answers (`ending`), slow ones, and more answers than before that run into the
same limit of a client's send it back; each is an anytime-valid bet (`strop.evaluation.eprocess`) that its rate is more
than the version's before, so that looking after every answer costs nothing. Thumbs down are watched the same way and
only warn: whether an answer is liked is the gate's question. Whatever is live and has not passed is on probation, and
goes on where it stopped when it comes back. Where probation itself brought it back, it is only warned about: what fails
everywhere would else send every one back. One that probation had sent away, and that a person puts back, begins anew.

What was seen of each version is kept in `serve/probation.json`: counts, and no one's words.
"""

import json
import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from strop.errors import StropError, TargetAway
from strop.evaluation.eprocess import RateTest, upper_bound
from strop.server.settings import ServeSettings

_log = logging.getLogger(__name__)
# The chance that a version which is as good as the one before is ever sent back, for each thing that is watched.
ALPHA = 0.01
_ALPHA_THUMBS, _DELTA = 0.025, 0.025
# A rate of the version before is known from so many answers (thumbs) on.
_KNOWN_ANSWERS, _KNOWN_THUMBS = 50, 10
# Rates that are never held against a version, and those that hold where nothing is known of the one before.
_FLOOR = {"failed": 0.02, "endless": 0.05, "slow": 0.10, "cut": 0.25}
_UNKNOWN = {"failed": 0.05, "endless": 0.50}
_MOST = 0.95
# The tests for answers that ran into the client's own limit: one for each power of two that the version before knew.
_CUT = "cut_"
# Twice as slow as nearly every answer of the version before.
_SLOW_TIMES, _SLOW_SHARE = 2.0, 0.95
_NOT_UP = 3
# Seconds a token, each step a tenth more: 0.1 ms to 100 s.
_PACES = tuple(1e-4 * 1.1**step for step in range(146))
_WORDS = {"failed": "errors", "endless": "endless answers", "slow": "slow answers", "down": "thumbs down"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request. `pace_s` is the answer's time in seconds by its tokens (16 at least).

    `limit_tokens` and `cut`: the client's own limit, and whether the answer ran into it (`ending`).
    """

    tag: str
    failed: bool = False
    endless: bool = False
    pace_s: float | None = None
    limit_tokens: int | None = None
    cut: bool = False


@dataclass
class Seen:
    """What was seen of one version."""

    answers: int = 0
    failed: int = 0
    endless: int = 0
    thumbs: int = 0
    down: int = 0
    paces: dict[int, int] = field(default_factory=dict)
    limited: dict[int, int] = field(default_factory=dict)  # answers, by the client's own limit
    cut: dict[int, int] = field(default_factory=dict)  # those that ran into it

    def count(self, outcome: Outcome) -> None:
        """Take one outcome in."""
        self.answers += 1
        self.failed += outcome.failed
        self.endless += outcome.endless
        if (limit := outcome.limit_tokens) is not None:
            self.limited[limit] = self.limited.get(limit, 0) + 1
            self.cut[limit] = self.cut.get(limit, 0) + outcome.cut
        if outcome.pace_s is not None:
            step = bisect_left(_PACES, outcome.pace_s)
            self.paces[step] = self.paces.get(step, 0) + 1

    def slow_from_s(self) -> float | None:
        """The pace beyond which an answer of the next version is slow; None where too little is known."""
        total, below = sum(self.paces.values()), 0
        if total < _KNOWN_ANSWERS:
            return None
        for step in sorted(self.paces):
            below += self.paces[step]
            if below >= _SLOW_SHARE * total:
                return _SLOW_TIMES * _PACES[min(step, len(_PACES) - 1)]
        return None


@dataclass(frozen=True, slots=True)
class Subject:
    """The live version: whether it is on probation, since when, and the one that it is held against.

    `returned`: probation brought it back; `anew`: probation had sent it away; `passed`: it ended one well before.
    """

    tag: str
    before: str | None
    watched: bool
    since: datetime
    returned: bool = False
    anew: bool = False
    passed: bool = False


# What probation may do: called with the version's tag and the evidence.
Act = Callable[[str, dict[str, Any]], None]


class Watch:
    """Watches whatever is live. For the event loop's thread alone; `send_back` and `pass_` must not block."""

    def __init__(
        self,
        path: Path,
        settings: ServeSettings,
        send_back: Act,
        pass_: Act,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        loaded: Callable[[], bool] = lambda: False,
    ) -> None:
        self._path, self._settings = path, settings
        self._send_back, self._pass, self._clock = send_back, pass_, clock
        self._loaded = loaded  # a night that trains makes every answer slow
        self._seen: dict[str, Seen] = {}
        self._tests: dict[str, RateTest] = {}
        self._put_by: dict[str, dict[str, RateTest]] = {}  # of versions that are not live now
        self._subject: Subject | None = None
        self._slow_from_s: float | None = None
        self._ended = False
        self._not_up: Counter[str] = Counter()
        self._watching, self._since = "", ""
        self.warning = ""
        self._held_up: dict[str, str] | None = None
        self.changed = False
        self._load()

    @property
    def tag(self) -> str | None:
        """The version that is looked at."""
        return self._subject.tag if self._subject else None

    @property
    def on_probation(self) -> bool:
        """Whether it still has something to pass."""
        return self._subject is not None and not self._ended

    def begin(self, subject: Subject) -> None:
        """A version went live, or is live as the server starts."""
        if self._subject == subject:
            return
        since = subject.since.isoformat()
        same = self._watching == subject.tag and self._since in ("", since)
        if self._watching:
            self._put_by[self._watching] = self._tests
        kept = self._put_by.pop(subject.tag, {})
        if subject.anew and not same:
            kept = {}
            self._seen.pop(subject.tag, None)
        self._subject, self._ended = subject, not subject.watched
        self._not_up.clear()
        before = self._seen.get(subject.before or "", Seen())
        self._slow_from_s = before.slow_from_s()
        self._tests = {**self._new_tests(before), **kept}
        self._watching, self._since, self.changed = subject.tag, since, True
        if not same:
            self.warning = ""
        self.look()

    def answered(self, outcome: Outcome) -> None:
        """Count one outcome; it may be the one that sends its version back, or the last that it had to pass."""
        self._seen.setdefault(outcome.tag, Seen()).count(outcome)
        self.changed = True
        if self._ended or self._subject is None or outcome.tag != self._subject.tag:
            return
        self._observe("failed", outcome.failed)
        if not outcome.failed:
            self._observe("endless", outcome.endless)
            self._observe(f"{_CUT}{outcome.limit_tokens}", outcome.cut)
            if outcome.pace_s is not None and self._slow_from_s is not None and not self._loaded():
                self._observe("slow", outcome.pace_s > self._slow_from_s)
        self.look()

    def died(self, tag: str) -> None:
        """A version's server died, which is one failure however many requests it had."""
        self.answered(Outcome(tag, failed=True))

    def thumb(self, tag: str, down: bool) -> None:
        """Count a thumb; warns, once, where there are more down than for the version before."""
        seen = self._seen.setdefault(tag, Seen())
        seen.thumbs, seen.down, self.changed = seen.thumbs + 1, seen.down + down, True
        if self._subject is None or tag != self._subject.tag or "down" not in self._tests:
            return
        self._observe("down", down)
        if not self.warning and self._tests["down"].rejects(_ALPHA_THUMBS):
            self.warning = self._reason("down")
            _log.warning("%s: %s; strop rollback goes back", tag, self.warning)

    def not_up(self, tag: str, error: StropError) -> None:
        """A live version's server did not come up. The third time sends the version back, on probation or not.

        Where none would come up (TargetAway), that says nothing of this one.
        """
        if isinstance(error, TargetAway):
            return
        self._not_up[tag] += 1
        if self._not_up[tag] % _NOT_UP == 0:
            _log.warning("%s does not come up: %s", tag, error)
            if self._settings.rollback:
                reason = f"its server does not come up: {error}"
                self._send_back(tag, {"by": "probation", "from": tag, "reason": reason})

    def held_up(self, tag: str, evidence: Mapping[str, Any], error: StropError | None) -> None:
        """A rollback could not be made and is tried again; without an `error`, it was made or is no longer needed."""
        said = None if error is None else {"tag": tag, "reason": str(evidence["reason"]), "error": str(error)}
        if said != self._held_up:
            self._held_up, self.changed = said, True

    def look(self) -> None:
        """End the probation where it fails, or where it has lasted long enough."""
        subject = self._subject
        if self._ended or subject is None:
            return
        if not subject.passed:
            cuts = sum(name.startswith(_CUT) for name in self._tests)
            for name, test in self._tests.items():
                alpha = ALPHA / cuts if name.startswith(_CUT) else ALPHA
                if name != "down" and test.rejects(alpha):
                    return self._fail(self._reason(name))
        seen = self._seen.get(subject.tag, Seen())
        days = self._clock() - subject.since
        enough = seen.answers >= self._settings.probation_answers
        if subject.passed or enough or days >= timedelta(days=self._settings.probation_days):
            self._ended = self.changed = True
            facts = {key: value for key, value in asdict(seen).items() if isinstance(value, int)}
            self._pass(subject.tag, {"by": "probation", "days": round(days / timedelta(days=1), 2), **facts})

    def facts(self) -> dict[str, Any]:
        """What was seen, as JSON data, for `probation.json`; `changed` is false until there is more."""
        self.changed = False
        seen = {tag: asdict(one) for tag, one in sorted(self._seen.items())[-20:]}
        on = bool(self._subject and not self._ended)
        now = {"tag": self._watching, "on_probation": on, "of": self._settings.probation_answers}
        put_by = {tag: _as_dicts(held) for tag, held in list(self._put_by.items())[-20:]}
        more = {"since": self._since, "held_up": self._held_up, "put_by": put_by}
        return {**now, "warning": self.warning, "tests": _as_dicts(self._tests), "seen": seen, **more}

    def _observe(self, name: str, one: bool) -> None:
        if name in self._tests:
            self._tests[name] = self._tests[name].observe(one)

    def _new_tests(self, before: Seen) -> dict[str, RateTest]:
        known = before.answers >= _KNOWN_ANSWERS
        limits: dict[str, float] = dict(_UNKNOWN)
        if known:
            for name in ("failed", "endless"):
                limits[name] = max(_FLOOR[name], upper_bound(getattr(before, name), before.answers, ALPHA))
        for limit, count in before.limited.items():
            if count >= _KNOWN_ANSWERS:
                most = upper_bound(before.cut.get(limit, 0), count, ALPHA)
                limits[f"{_CUT}{limit}"] = max(_FLOOR["cut"], most)
        if self._slow_from_s is not None:
            limits["slow"] = _FLOOR["slow"]
        if before.thumbs >= _KNOWN_THUMBS:
            limits["down"] = upper_bound(before.down, before.thumbs, _DELTA)
        return {name: RateTest(min(_MOST, limit)) for name, limit in limits.items() if limit < 1}

    def _reason(self, name: str) -> str:
        test = self._tests[name]
        words = _WORDS.get(name) or f"answers cut at the client's own limit (from {name.removeprefix(_CUT)} tokens)"
        what = f"{words}: {test.ones} of {test.seen}"
        return f"{what}, where {test.p0:.1%} are allowed (evidence {test.evidence:,.0f} to 1)"

    def _fail(self, reason: str) -> None:
        subject = self._subject
        if subject is None:
            return
        self._ended = self.changed = True
        _log.warning("%s does not pass its probation: %s", subject.tag, reason)
        if self._settings.rollback and subject.before is not None and not subject.returned:
            self._send_back(subject.tag, {"by": "probation", "from": subject.tag, "reason": reason})
        else:
            self.warning = f"{reason}; not rolled back by itself"

    def _load(self) -> None:
        data = said(self._path)
        self._watching, self._since = str(data.get("tag", "")), str(data.get("since", ""))
        self.warning = str(data.get("warning", ""))
        try:
            for tag, one in data.get("seen", {}).items():
                by = {
                    name: {int(at): int(count) for at, count in one.pop(name, {}).items()}
                    for name in ("paces", "limited", "cut")
                }
                self._seen[tag] = Seen(**one, paces=by["paces"], limited=by["limited"], cut=by["cut"])
            self._tests = _tests(data.get("tests", {}))
            self._put_by = {str(tag): _tests(held) for tag, held in data.get("put_by", {}).items()}
        except (TypeError, ValueError, KeyError, AttributeError, StropError) as error:
            _log.warning("%s cannot be read, so watching begins anew: %s", self._path, error)
            self._seen, self._tests, self._put_by = {}, {}, {}


def _as_dicts(tests: Mapping[str, RateTest]) -> dict[str, Any]:
    return {name: test.as_dict() for name, test in tests.items()}


def _tests(data: Mapping[str, Any]) -> dict[str, RateTest]:
    return {name: RateTest(**{**test, "logs": tuple(test["logs"])}) for name, test in data.items()}


def said(path: Path) -> Mapping[str, Any]:
    """What `Watch.facts` was when it was last written down; empty where there is nothing that can be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
