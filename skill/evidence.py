"""What a night has to go by: whether there is enough to train on, and whether the gate could judge what it makes.

The gate judges by held-out corrections of the owner's own, of which enough are fresh; other people's do not decide
(`evaluation.superiority`). Where there are too few, held-out prompts with lone thumbs will do: of what is made of them
a person settles which is better (`strop judge`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from strop.config import Config
from strop.deploy.versions import Versions
from strop.errors import NotEnoughData, NothingToDo
from strop.evaluation import Test
from strop.evaluation.error import fresh_clusters
from strop.evaluation.results import OWNER
from strop.feedback import Ledger
from strop.feedback.rows import GateRow, HeldPrompt, Rows
from strop.feedback.split import corrected, corrections_for, record_test, used
from strop.home import Home
from strop.journal import Journal
from strop.trainer import plan

ADD = "strop feedback add ... --correction ..."
MORE = f"correct more answers: {ADD}"
# A correction that trains makes a row to copy and a pair.
_ROWS_OF_A_CORRECTION = 2
_FIRST = "strop feedback add --prompt ... --answer ... --rating down --correction ..."


class Evidence:
    """The feedback of one home beside the tests that the gate has made of it."""

    def __init__(self, home: Home, config: Config, journal: Journal, versions: Versions) -> None:
        self._home, self._config, self._journal, self._versions = home, config, journal, versions

    def check_enough(self, rows: Rows, feedback: Mapping[str, int]) -> None:
        """Raises NotEnoughData, with what is missing. `feedback` counts what the ledger holds."""
        if not feedback.get("interactions"):
            raise NotEnoughData("the ledger is empty", hint=_FIRST)
        said = f"{counted(rows.counts)}; left out: {counted(rows.excluded) or 'nothing'}"
        if "one_class" in rows.excluded:
            raise NotEnoughData(
                f"every rating says the same, and nothing was corrected ({said})",
                hint="correct an answer: strop feedback add ... --rating down --correction ...",
            )
        methods, _ = plan.choose_methods(rows.counts, self._config.trainer.method)
        trainable = sum(rows.counts[method] for method in {"sft", "dpo", *methods})
        needed = self._config.night.min_rows
        held, whose = len({row.cluster for row in _own(rows.gate)}), _whose(rows.gate)
        settles = self._settles(held, len(rows.held))
        missing = 0 if settles else self._judging - held
        if trainable < needed:
            raise NotEnoughData(
                f"{trainable} rows to train on are fewer than {needed} ({said})",
                hint=self._ask(missing, -(-(needed - trainable) // _ROWS_OF_A_CORRECTION)),
            )
        if not settles:
            raise NotEnoughData(
                f"the gate holds {held} corrections{whose} (near-duplicates count once) and cannot judge with "
                f"fewer than {self._judging}, nor is it {self._judging} rated prompts, for you to settle ({said})",
                hint=self._ask(missing),
            )

    def check_fresh(self, rows: Rows) -> None:
        """No candidate is trained that could not be judged. Raises NothingToDo where too little has come since."""
        fresh, whose = self.fresh(_own(rows.gate)), _whose(rows.gate)
        if self._journal.tests() and not self._settles(fresh, self.fresh(rows.held)):
            raise NothingToDo(
                f"{fresh} held-out corrections{whose} came since the last test of the gate (near-duplicates count "
                f"once), and the next needs {self._judging}",
                hint=f"{self._ask(self._judging - fresh)}; then strop night",
            )

    def share(self) -> str:
        """How much of what is corrected next is held out, in words: the gate counts nothing else."""
        settings = self._config.feedback
        gate, _ = self._corrected()
        return "every second one is" if gate < settings.gate_prompts else f"about one in {settings.gate_one_in} is"

    def _ask(self, more_gate: int, more_train: int = 0) -> str:
        return f"{self.wanted(more_gate, more_train)}: {ADD}"

    def wanted(self, more_gate: int, more_train: int = 0) -> str:
        """What a person is asked for, so that so many more corrections are held out and so many more train."""
        settings, (gate, train) = self._config.feedback, self._corrected()
        shares = {"gate_prompts": settings.gate_prompts, "gate_one_in": settings.gate_one_in}
        more = corrections_for(gate, train, more_gate=more_gate, more_train=more_train, **shares)
        answers = "1 more answer" if more == 1 else f"{more} more answers"
        return f"correct about {answers}, to different questions ({self.share()} held out)"

    def _corrected(self) -> tuple[int, int]:
        with Ledger.open(self._home.ledger_db, scrubber=self._config.feedback.scrub.scrubber()) as ledger:
            return corrected(ledger)

    def settled_by_gate(self, rows: Sequence[GateRow]) -> bool:
        """Whether these corrections are enough for a test, so that no person is asked."""
        policy, own = self._config.gate, _own(rows)
        enough = len({row.cluster for row in own}) >= policy.min_wanted_clusters
        return enough and self.fresh(own) >= policy.min_fresh_clusters

    def fresh(self, rows: Sequence[GateRow] | Sequence[HeldPrompt]) -> int:
        """How many clusters of these no earlier test used."""
        spent = self.used()
        fresh = fresh_clusters(((row.id, row.cluster) for row in rows), self.tests())
        return len(fresh - {row.cluster for row in rows if spent.intersection(row.interactions)})

    def tests(self) -> tuple[Test, ...]:
        """The gate's history. Where prompts may serve once more, what was spent is in it, and on what is not."""
        tests = self._journal.tests()
        if self._undecided_test() and tests:  # nothing was released by it, so it earned nothing back
            tests = (*tests[:-1], replace(tests[-1], promoted=False))
        return tuple(replace(test, items=()) for test in tests) if self._once_more() else tests

    def used(self) -> frozenset[str]:
        """The interactions that earlier tests used up."""
        if self._once_more():
            return frozenset()
        with Ledger.open(self._home.ledger_db, scrubber=self._config.feedback.scrub.scrubber()) as ledger:
            return used(ledger)

    def use_up(self, interactions: Iterable[str], test: str) -> None:
        """Write down that the test with this name was made of these interactions."""
        with Ledger.open(self._home.ledger_db, scrubber=self._config.feedback.scrub.scrubber()) as ledger:
            record_test(ledger, interactions, test)

    @property
    def _judging(self) -> int:
        return max(self._config.gate.min_wanted_clusters, self._config.gate.min_fresh_clusters)

    def _settles(self, corrections: int, held: int) -> bool:
        return max(corrections, held) >= self._judging

    def _once_more(self) -> bool:
        """Whether the prompts of earlier tests may serve in one more.

        So it is where the last verdict never took effect, and where a model that was live has been forgotten and no
        test was made since: it is made again of what is left, and users should not wait for it.
        """
        if self._undecided_test():
            return True
        events = self._versions.events()
        lived = {event.tag for event in events if event.to_state == "live"}
        gone = [event.time for event in events if event.to_state == "forgotten" and event.tag in lived]
        last = self._journal.last_done("gate")
        return bool(gone) and (last is None or last.ended is None or max(gone) > last.ended)

    def _undecided_test(self) -> bool:
        """Whether the last night that made a test ended before its report."""
        tested, told = self._journal.last_done("gate"), self._journal.last_done("report")
        return tested is not None and bool(tested.facts.get("tested")) and (told is None or told.number < tested.number)


def _own(rows: Iterable[GateRow]) -> list[GateRow]:
    return [row for row in rows if row.trust == OWNER]


def _whose(rows: Sequence[GateRow]) -> str:
    """Whose corrections are counted, where there are others."""
    return " of your own" if len(_own(rows)) < len(rows) else ""


def counted(counts: Mapping[str, int]) -> str:
    """The counts that are not 0, in words."""
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)
