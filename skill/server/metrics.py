"""Figures for Prometheus, in its text format 0.0.4. Counters only ever grow; nothing in them is anybody's words."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_HELP = {
    "strop_requests_total": "Requests by the version that answered and what came of them.",
    "strop_swaps_total": "Times that the pointer moved to another version.",
    "strop_restarts_total": "Servers of a version that died and were started again.",
    "strop_held_total": "Requests that waited for a server that was starting.",
    "strop_recorded_total": "Answers that were recorded.",
    "strop_unrecorded_total": "Answers that were not recorded, by reason.",
    "strop_feedback_total": "Reactions that came in, by kind.",
    "strop_answer_tokens_total": "Tokens that versions wrote.",
}


class Metrics:
    """All counters of one server. For the event loop's thread alone."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
        self._seconds: dict[str, list[int]] = {}
        self._sums: Counter[str] = Counter()

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        """Add to a counter."""
        self._counts[name, tuple(sorted(labels.items()))] += by

    def value(self, name: str, **labels: str) -> int:
        """What a counter is at."""
        return self._counts[name, tuple(sorted(labels.items()))]

    def took(self, version: str, seconds: float) -> None:
        """One answer's time, from the request's arrival to its last byte, in seconds."""
        held = self._seconds.setdefault(version, [0] * (len(_BUCKETS_S) + 1))
        held[bisect_left(_BUCKETS_S, seconds)] += 1
        self._sums[version] += seconds  # type: ignore[assignment]

    def text(self, gauges: Mapping[str, float]) -> str:
        """Everything as Prometheus reads it; `gauges` are values of this moment, by full name with labels."""
        return "\n".join([*self._counter_lines(), *self._histogram_lines(), *_gauge_lines(gauges)]) + "\n"

    def _counter_lines(self) -> Iterator[str]:
        known = ""
        for (name, labels), value in sorted(self._counts.items()):
            if name != known:
                known = name
                yield f"# HELP {name} {_HELP.get(name, name)}"
                yield f"# TYPE {name} counter"
            yield f"{name}{_labels(labels)} {value}"

    def _histogram_lines(self) -> Iterator[str]:
        name = "strop_answer_seconds"
        if self._seconds:
            yield f"# HELP {name} From a request's arrival to its answer's last byte."
            yield f"# TYPE {name} histogram"
        for version, counts in sorted(self._seconds.items()):
            total = 0
            for bound, count in zip((*map(str, _BUCKETS_S), "+Inf"), counts, strict=True):
                total += count
                yield f"{name}_bucket{_labels((('version', version), ('le', bound)))} {total}"
            yield f"{name}_sum{_labels((('version', version),))} {self._sums[version]:.6f}"
            yield f"{name}_count{_labels((('version', version),))} {total}"


def _gauge_lines(gauges: Mapping[str, float]) -> Iterator[str]:
    for name, value in gauges.items():
        yield f"# TYPE {name.partition('{')[0]} gauge"
        yield f"{name} {value:g}"


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
