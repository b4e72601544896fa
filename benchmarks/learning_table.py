"""How `learning.py` shows what it measured: a rate with its interval, and both models on the same prompts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from strop.evaluation.compare import Estimate, paired_difference, share, sign_test

NOT_YET = "not measured yet"
NO_DATA = "no open data"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trained model and the base on the same prompts.

    `rate` and `base_rate` have Wilson's 95 % interval, `difference` one that lets near-duplicates move together, and
    `p` is exact and two-sided (McNemar). A prompt is won where the trained model passes and the base does not.
    """

    model: str
    seed: int
    measure: str
    rate: Estimate
    base_rate: Estimate
    won: int
    lost: int
    difference: Estimate
    p: float

    @property
    def tied(self) -> int:
        return self.rate.n - self.won - self.lost


def outcome(
    model: str, seed: int, measure: str, trained: Sequence[int], base: Sequence[int], clusters: Sequence[str]
) -> Outcome:
    """From one 0 or 1 a prompt for each model, in the same order."""
    moved = [ours - theirs for ours, theirs in zip(trained, base, strict=True)]
    won, lost = moved.count(1), moved.count(-1)
    # The bounds of `paired_difference` are one-sided: 97.5 % each make 95 % in between.
    found = paired_difference(zip(clusters, map(float, moved), strict=True), 0.975)
    difference = Estimate(found.mean, max(-1.0, found.low), min(1.0, found.high), found.items)
    p = min(1.0, 2 * sign_test(max(won, lost), min(won, lost)))
    return Outcome(model, seed, measure, rate(trained), rate(base), won, lost, difference, p)


def rate(passed: Sequence[int]) -> Estimate:
    """The share that passed."""
    return share(sum(passed), len(passed))


def said(estimate: Estimate) -> str:
    """In percent."""
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"


def outcomes_table(outcomes: Iterable[Outcome]) -> str:
    """One line for each model and measure."""
    lines = [
        "| trained on | seed | measured on | prompts | base | trained | won / lost / tied | difference | p |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in outcomes:
        moved = one.difference
        cells = [
            one.model,
            str(one.seed),
            one.measure,
            str(one.rate.n),
            said(one.base_rate),
            said(one.rate),
            f"{one.won} / {one.lost} / {one.tied}",
            f"{100 * moved.value:+.1f} points ({100 * moved.low:+.1f} to {100 * moved.high:+.1f})",
            f"{one.p:.2g}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Compared:
    """A row of the table by which people compare: the measure, and the models in the columns SFT and SFT, then DPO."""

    name: str
    measure: str
    sft: str
    chain: str
    wins: bool = False


def compared_table(
    rows: Iterable[Compared], outcomes: Sequence[Outcome], extra: Mapping[str, Estimate], unmeasured: str
) -> str:
    """base, SFT, and SFT then DPO; several seeds stand behind each other. `extra` are rows that have a base alone."""
    lines = ["| | base | SFT | SFT, then DPO |", "|---|---:|---:|---:|"]
    for row in rows:
        ours = [[one for one in outcomes if (one.model, one.measure) == (model, row.measure)] for model in _models(row)]
        base = "(reference)" if row.wins else next((said(one.base_rate) for side in ours for one in side), unmeasured)
        cells = ["; ".join(_cell(one, wins=row.wins) for one in side) or unmeasured for side in ours]
        lines.append(f"| {row.name} | {base} | {' | '.join(cells)} |")
    lines += [f"| {name} | {said(found)} | | |" for name, found in extra.items()]
    lines.append(f"| Korean law | {NO_DATA} | {NO_DATA} | {NO_DATA} |")
    return "\n".join(lines)


def _models(row: Compared) -> tuple[str, str]:
    return row.sft, row.chain


def _cell(one: Outcome, *, wins: bool) -> str:
    if not wins:
        return said(one.rate)
    return (
        f"{said(share(one.won, one.won + one.lost))} of those decided: {one.won} won, {one.lost} lost, {one.tied} tied"
    )
