"""`strop feedback add`: one reaction to one answer, new or stored. Starts fast: loads nothing that it does not need."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypedDict

import typer

from strop.cli.output import JsonFlag, hint, one_line, say, session, show
from strop.errors import BadRecord, UnknownInteraction, UsageError

if TYPE_CHECKING:
    from strop.feedback import FeedbackCollector
    from strop.feedback.records import Trust

# Where to begin in an empty ledger, and how much of an id is shown.
FIRST = "strop feedback add --prompt ... --answer ... --rating up"
ID_CHARS = 12

_CHANNEL = "cli"
_HELP = "strop feedback add --help"


class Lowered(StrEnum):
    """Whose word a reaction can be said to be; the owner's it is by the settings alone."""

    KNOWN = "known"
    ANONYMOUS = "anonymous"


class _Event(TypedDict):
    """Where a reaction comes from."""

    user: str
    source: str
    source_key: str
    trust: "Trust"


class _Way(NamedTuple):
    """One way to say which answer is meant: the options that it needs, and those that may stand beside them."""

    needs: tuple[str, ...]
    may: tuple[str, ...] = ()


_NEW = _Way(("--prompt", "--answer"), ("--system", "--domain", "--session", "--turn"))
# By the option that tells which way it is; the first one given decides.
_WAYS = {
    "--id": _Way(("--id",)),
    "--last": _Way(("--last",), ("--session",)),
    "--prompt": _NEW,
    "--answer": _NEW,
    "--turn": _Way(("--session", "--turn")),
}


def add(
    ctx: typer.Context,
    prompt: Annotated[str | None, typer.Option(help="What the person asked; - reads it from stdin.")] = None,
    answer: Annotated[str | None, typer.Option(help="What the model answered; - reads it from stdin.")] = None,
    rating: Annotated[str | None, typer.Option(metavar="up|down|1..5", help="What the person made of it.")] = None,
    correction: Annotated[str | None, typer.Option(help="The answer that was wanted; - reads it from stdin.")] = None,
    note: Annotated[str | None, typer.Option(help="What the person said beside the rating.")] = None,
    last: Annotated[bool, typer.Option("--last", help="The newest answer there is, or that of --session.")] = False,
    id_: Annotated[str | None, typer.Option("--id", help="An answer that is stored, by its id.")] = None,
    session_name: Annotated[str | None, typer.Option("--session", help="The conversation that it belongs to.")] = None,
    turn: Annotated[int | None, typer.Option(min=0, help="Which answer of the session it is.")] = None,
    system: Annotated[str | None, typer.Option(help="The system prompt that the model saw.")] = None,
    domain: Annotated[str | None, typer.Option(help="What kind of task it was.")] = None,
    user: Annotated[str, typer.Option(help="Who reacted. Only the owner's reactions train.")] = "owner",
    trust: Annotated[Lowered | None, typer.Option(help="Trust less than the user's name would say.")] = None,
    source_key: Annotated[str, typer.Option(help="The event behind it: the same one again is stored once.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Store a reaction to an answer.

    The answer is a new one (--prompt and --answer), or one that is stored: --last, --id, or --session and --turn. On
    disk when this returns; on an error nothing is stored.
    """
    from strop.feedback.records import NO_DOMAIN
    from strop.ledger import open_collector, rules

    new = {"--prompt": prompt, "--answer": answer, "--system": system, "--domain": domain}
    stored = {"--last": last or None, "--id": id_, "--session": session_name, "--turn": turn}
    way = _way({name for name, value in {**new, **stored}.items() if value is not None})
    if rating is None and correction is None and note is None:
        raise UsageError("a reaction is needed: --rating, --correction or --note", hint=_HELP)
    prompt, answer, correction = _from_stdin(prompt, answer, correction)
    home = session(ctx).home
    found = rules(home)
    event: _Event = {
        "user": user,
        "source": _CHANNEL,
        "source_key": source_key,
        "trust": _trust(user, found.owners, trust),
    }
    if way is not _NEW and not home.ledger_db.exists():
        raise UnknownInteraction("the ledger holds no answer yet", hint=FIRST)
    with open_collector(home, found) as collector, collector.ledger.transaction():
        if way is _NEW:
            interaction = collector.record(
                prompt=prompt,
                answer=answer,
                system=system or "",
                domain=NO_DOMAIN if domain is None else domain,
                session=session_name or "",
                turn=turn or 0,
                user=user,
                channel=_CHANNEL,
            )
        else:
            interaction = _stored(collector, id_, session_name, turn)
        before = collector.ledger.newest("signals")
        signals = _react(collector, interaction, rating, correction, note, event)
        known = collector.ledger.newest("signals") == before
        about = "" if way is _NEW else f": {one_line(collector.ledger.interaction(interaction).prompt)}"
    told = {"interaction": interaction, "signals": signals, "trust": event["trust"], "new": not known}
    if known:
        show(
            told, as_json=as_json, human=lambda: say(f"stored before, nothing changed: {interaction[:ID_CHARS]}{about}")
        )
        hint(f"the event {source_key!r} keeps what it said first; without --source-key this is a reaction of its own")
        return
    show(told, as_json=as_json, human=lambda: say(f"stored {interaction[:ID_CHARS]}{about}"))
    if event["trust"] != "owner":
        hint("it trains once it is accepted: strop feedback review")
    elif correction is None and rating in ("down", "1", "2"):
        hint("the same with --correction says what was wanted; corrections teach most")


def _way(given: set[str]) -> _Way:
    """How these options name the answer. Raises UsageError where they do not, or in two ways at once."""
    for name, way in _WAYS.items():
        if name not in given:
            continue
        if missing := [one for one in way.needs if one not in given]:
            raise UsageError(f"{' and '.join(missing)} must stand beside {name}", hint=_HELP)
        if over := sorted(given.difference(way.needs, way.may)):
            raise UsageError(f"{' and '.join(over)} cannot stand beside {name}: one answer at a time", hint=_HELP)
        if "--turn" in given and "--session" not in given:
            raise UsageError("--session must stand beside --turn", hint=_HELP)
        return way
    raise UsageError(
        "say which answer: --prompt and --answer, --last, --id, or --session and --turn",
        hint=_HELP,
    )


def _trust(user: str, owners: tuple[str, ...], lowered: Lowered | None) -> "Trust":
    """What the user's name says, or less. Raises UsageError for more."""
    from strop.feedback.records import TRUSTS
    from strop.feedback.signals import trust_of

    by_name = trust_of(user, owners)
    if lowered is None:
        return by_name
    if TRUSTS.index(lowered.value) < TRUSTS.index(by_name):
        raise UsageError(f"--trust {lowered.value} would trust more than a reaction of nobody's: name its --user")
    return lowered.value


def _stored(collector: "FeedbackCollector", id_: str | None, session_name: str | None, turn: int | None) -> str:
    """The id of the stored answer that the options name."""
    from strop.feedback.records import check_label

    if id_ is not None:
        from strop.feedback.overview import answer_id

        return answer_id(collector.ledger, id_)
    if turn is not None:
        return collector.find(session=session_name, turn=turn)
    check_label("session", session_name or "")
    return collector.ledger.find(session_name)


def _react(
    collector: "FeedbackCollector",
    interaction: str,
    rating: str | None,
    correction: str | None,
    note: str | None,
    event: _Event,
) -> list[str]:
    signals: list[str] = []
    if rating is not None:
        signals.append(collector.rate(interaction, rating, note=note, **event))
    elif note is not None:
        signals.append(collector.note(interaction, note, **event))
    if correction is not None:
        signals.append(collector.correct(interaction, correction, **event))
    return signals


def _from_stdin(
    prompt: str | None, answer: str | None, correction: str | None
) -> tuple[str | None, str | None, str | None]:
    """Replace the one text that is "-" by stdin; an argument of a command cannot hold a very long answer."""
    given = (prompt, answer, correction)
    if given.count("-") == 0:
        return given
    if given.count("-") > 1:
        raise UsageError("only one text can come from stdin", hint=_HELP)
    text = read_stdin()
    prompt, answer, correction = (text if one == "-" else one for one in given)
    return prompt, answer, correction


def read_stdin() -> str:
    """All of stdin, which must be UTF-8. Raises BadRecord."""
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise BadRecord(f"stdin is not UTF-8 at byte {error.start}", hint="send it as UTF-8") from None


def register(feedback_app: typer.Typer) -> None:
    """Put `add` among the commands of `strop feedback`."""
    example = (
        '\b\nExample:\n  strop feedback add --prompt "What is LoRA?" --answer "Well, ..." --rating down '
        '--correction "Small trainable matrices beside frozen weights."'
    )
    feedback_app.command(epilog=example)(add)
