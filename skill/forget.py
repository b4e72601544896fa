"""Forgetting: rows out of the ledger, everything that was made of them out of the home and of Ollama, then a receipt.

Covered: kill it anywhere, or let Ollama be away: what is left to do is written down without any text, and the next
`strop feedback forget` or night goes on with it (`removal`). While a night runs nothing is begun. A live version that
was made of forgotten feedback is replaced before its file goes, and a rebuild from the base on what is left is due.

Not covered: what left the home (exports, `strop tune --to`, `strop hub push`, copies of a GGUF, backups); what a file
system keeps of deleted files; tags in an Ollama that the settings no longer name; a `strop tune` that runs at the same
time; a demo's second home. The gate's history keeps hashes of the comparisons that it made.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from strop.config import Config
from strop.deploy.versions import Versions
from strop.errors import Locked, NothingToDo, UnknownInteraction, UsageError
from strop.feedback import Ledger
from strop.feedback.forget import described, take_out, was_forgotten
from strop.feedback.selected import Chosen, Selector, select
from strop.home import Home
from strop.provenance import Made, made_of, size_bytes
from strop.removal import AGAIN, Job, Receipt, Work, affected_live, carry_out, heir
from strop.server.settle import settle

_LOCK_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What forgetting would take out. `live` is the live tag where it is affected, `heir` what would replace it.

    `unfinished`: an earlier call was cut short; what it has left to do is in `made` and will be done as well.
    """

    chosen: Chosen
    made: Made
    live: str | None = None
    heir: str | None = None
    unfinished: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        chosen = {name: len(getattr(self.chosen, name)) for name in ("interactions", "signals", "standing")}
        return {
            "chosen": {**chosen, "repeats": self.chosen.repeats},
            **self.made.as_dict(),
            "live_affected": self.live is not None,
            "live": {"before": self.live, "after": self.heir} if self.live else None,
            "unfinished": self.unfinished,
        }


def plan(home: Home, selector: Selector | None) -> Plan:
    """What `forget` would take out, without changing anything.

    Raises UnknownInteraction for an id that is not there, NothingToDo for one that was forgotten before.
    """
    settle(home)
    begun = Work.read(home)
    chosen = Chosen()
    if selector is not None and home.ledger_db.exists():
        with Ledger.open(home.ledger_db) as ledger:
            try:
                chosen = select(ledger, selector)
            except UnknownInteraction:
                if any(was_forgotten(ledger, value) for value in selector.values):
                    raise NothingToDo("it was forgotten before", hint="strop audit") from None
                if begun is None:
                    raise
    made = made_of(home, chosen.traces).with_(begun.made if begun else Made())
    live = affected_live(home, made)
    following = heir(Versions(home.state_db), made).tag if live else None
    return Plan(chosen, made, live.tag if live else None, following, begun is not None)


def forget(
    home: Home, config: Config, selector: Selector | None, *, who: str = "owner", live_too: bool = False
) -> Receipt:
    """Forget what is selected, after whatever an earlier call has left to do; without a selector only the latter.

    Raises NothingToDo where there is neither, UsageError where the live version is affected and not `live_too`, Locked
    while a night runs: nothing has changed then. Whatever is raised later says what is left to do.
    """
    if not home.ledger_db.exists():
        raise NothingToDo("there is no feedback in this home", hint="strop feedback list")
    settle(home)
    with _no_night(home):
        finished = _finish(home, config)
        try:
            job = _begin(home, config, selector, who, live_too) if selector else None
        except UnknownInteraction:
            if finished is None:
                raise
            job = None
        if job is not None:
            return carry_out(job).after(finished)
        if finished is None:
            raise NothingToDo("nothing in the ledger matches, so nothing was forgotten", hint="strop feedback list")
        return finished


def keep_retention(home: Home, config: Config) -> Receipt | None:
    """At the beginning of a night: finish what was begun, and forget what is older than `retention.days`.

    The caller holds the night lock. None where there was nothing to do. The live version goes too where it was made of
    something that old: the settings said so.
    """
    done = _finish(home, config, in_night=True)
    if config.retention.days is None or not home.ledger_db.exists():
        return done
    job = _begin(home, config, older_than(config.retention.days), "retention", True)
    if job is None:
        return done
    job.in_night = True
    return carry_out(job).after(done)


def older_than(days: int) -> Selector:
    """What was said more than so many days ago."""
    return Selector.before(datetime.now(UTC) - timedelta(days=days))


def _begin(home: Home, config: Config, selector: Selector, who: str, live_too: bool) -> Job | None:
    """Choose, write down what is to go, and take the rows out: a later turn cannot come in between."""
    before = size_bytes(home.ledger_db)
    with Ledger.open(home.ledger_db) as ledger:
        # Every dataset is read for it, so it is asked while others may still write.
        first = select(ledger, selector)
        made = made_of(home, first.traces)
        with ledger.transaction():
            chosen = select(ledger, selector)
            if not chosen:
                return None
            made = made if chosen == first else made_of(home, chosen.traces)
            if (live := affected_live(home, made)) is not None and not live_too:
                said = f"the live version {live.tag} was made of it and would go too"
                raise UsageError(said, hint=f"{AGAIN} ... --yes")
            work = Work(chosen, made, described(ledger, selector), who)
            work.write(home)
            rows = take_out(ledger, chosen, work.detail, who)
    return Job(home, config, work, rows=rows, freed_bytes=before)


def _finish(home: Home, config: Config, *, in_night: bool = False) -> Receipt | None:
    """Go on with what an earlier call began, if there is such a thing."""
    work = Work.read(home)
    if work is None:
        return None
    before = size_bytes(home.ledger_db)
    with Ledger.open(home.ledger_db) as ledger:
        rows = take_out(ledger, work.chosen, work.detail, work.who)
    return carry_out(Job(home, config, work, in_night, rows=rows, freed_bytes=before))


@contextmanager
def _no_night(home: Home) -> Iterator[None]:
    from filelock import FileLock, Timeout

    home.ensure()
    try:
        lock = FileLock(home.night_lock, timeout=_LOCK_WAIT_S, mode=0o600).acquire()
    except Timeout:
        raise Locked("a night is running on this home, so nothing was forgotten yet", hint="strop status") from None
    with lock:
        yield
