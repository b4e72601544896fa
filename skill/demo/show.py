"""What the demo shows in the end: for a person, and as the one object of `--json`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from strop.evaluation.compare import proportion_interval
from strop.night import NightReport

NEEDED_RATE, START_RATE = 0.70, 0.15


@dataclass(frozen=True, slots=True)
class Share:
    """How many of `n` answers meet the taste, with the 95 % interval (Wilson)."""

    rate: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, met: Sequence[bool]) -> Self:
        """From one truth a prompt."""
        low, high = proportion_interval(sum(met), len(met))
        return cls(sum(met) / len(met), low, high, len(met))

    def as_dict(self) -> dict[str, float | int]:
        """For `--json`."""
        return {"rate": self.rate, "low": self.low, "high": self.high, "n": self.n}

    def __str__(self) -> str:
        return f"{self.rate:.0%} (95 % interval {self.low:.0%} to {self.high:.0%}, {self.n} prompts)"


@dataclass(frozen=True, slots=True)
class Night:
    """One night of the demo. `version` and `sha256` are what is served after it."""

    signal: str
    expected: str
    report: NightReport
    version: str
    sha256: str
    before: Share
    after: Share
    examples: tuple[tuple[str, str, str], ...]

    @property
    def as_it_must(self) -> bool:
        """A real signal is promoted and learned; noise is not promoted."""
        if self.expected == "promote":
            learned = self.before.rate < START_RATE and self.after.rate >= NEEDED_RATE
            return self.report.outcome == "promote" and learned
        return self.report.outcome != "promote"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            **self.report.as_dict(),
            "signal": self.signal,
            "held_out_before": self.before.as_dict(),
            "held_out_after": self.after.as_dict(),
            "candidate": self.report.version,
            "version": self.version,
            "sha256": self.sha256,
            "examples": [
                {"prompt": prompt, "before": before, "after": after} for prompt, before, after in self.examples
            ],
        }


@dataclass(frozen=True, slots=True)
class DemoReport:
    """Both nights."""

    nights: tuple[Night, ...]
    home: str
    target: str

    @property
    def exit_code(self) -> int:
        """0 where both nights came out as they must, else 1."""
        return 0 if all(night.as_it_must for night in self.nights) else 1

    def as_dict(self) -> dict[str, Any]:
        """The one object of `strop demo --json`."""
        return {
            "nights": [night.as_dict() for night in self.nights],
            "home": self.home,
            "target": self.target,
            "ok": self.exit_code == 0,
        }

    @property
    def sentence(self) -> str:
        """For a terminal."""
        parts = [_night(number, night) for number, night in enumerate(self.nights, 1)]
        return "\n\n".join([*parts, self._next()])

    def _next(self) -> str:
        strop = f"strop --home {self.home}"
        return "\n".join(
            [
                "Now try it yourself:",
                f'  {strop} chat "Why do leaves change colour in autumn?"',
                f"  {strop} versions",
                f"  {strop} rollback",
            ]
        )


def _night(number: int, night: Night) -> str:
    outcome = {"promote": "PROMOTED", "keep": "NOT PROMOTED (kept)", "undecided": "NOT PROMOTED (undecided)"}
    feedback = ", ".join(f"{count} {kind}" for kind, count in night.report.feedback.items() if count)
    lines = [
        f"Night {number}, {night.signal}: {outcome[night.report.outcome]}; {night.version} is live",
        f"  feedback: {feedback}",
        *(f"  - {reason}" for reason in night.report.reasons),
        f"  meets the person's taste, on prompts never seen: {night.before} -> {night.after}",
        f"  {sum(night.report.seconds.values()):.0f} s, report: {night.report.report}",
    ]
    if not night.as_it_must:
        lines.append(f"  THIS IS NOT WHAT MUST COME OUT (expected: {night.expected})")
    if night.expected == "promote":
        for prompt, before, after in night.examples:
            lines += [f"  Q  {prompt}", f"     before: {_short(before)}", f"     after:  {after}"]
    return "\n".join(lines)


def _short(text: str, limit: int = 150) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= limit else f"{plain[:limit]}…"
