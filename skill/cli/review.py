"""`strop feedback review`: the owner's look at what other people said, and at what looks like a planted trigger.

At a terminal one key a reaction; elsewhere it lists, or does what the options say, and never asks.
"""

import sys
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from strop.cli.add import ID_CHARS, read_stdin
from strop.cli.output import JsonFlag, hint, indented, note, one_line, say, session, show, table
from strop.cli.progress import progress
from strop.errors import NothingToDo, UsageError

if TYPE_CHECKING:
    from strop.feedback import Ledger
    from strop.feedback.reviews import Decision, Waiting
    from strop.home import Home

ByOption = Annotated[str | None, typer.Option(metavar="NAME", help="Who decides; without it, this system's user.")]

_HELP = "strop feedback review --help"
_COMMANDS = "strop feedback review --accept ID, --reject ID, or --edit ID --text TEXT"
_KEYS: "dict[str, Decision]" = {"a": "accept", "r": "reject", "e": "edit"}
_DONE = {"accept": "accepted", "reject": "rejected", "edit": "edited"}
# More of a prompt or an answer is not shown with a reaction; the reaction itself is shown whole.
_SHOWN_CHARS = 2000


def review(
    ctx: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Reactions, by id or its beginning.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Let them count as the owner's word.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Let them count for nothing.")] = False,
    edit: Annotated[bool, typer.Option("--edit", help="Accept one, with another text: --text.")] = False,
    text: Annotated[str | None, typer.Option(help="What it says from now on; - reads it from stdin.")] = None,
    all_of: Annotated[
        str | None, typer.Option("--all-of", metavar="USER", help="All that waits of a user who is known.")
    ] = None,
    list_only: Annotated[bool, typer.Option("--list", help="List what waits, and ask nothing.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many to list at most.")] = 50,
    by: ByOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Decide on what others said.

    Without options: one key each at a terminal, a list elsewhere. A decision can be changed by another one.
    """
    home = session(ctx).home
    decision = _decision(accept, reject, edit)
    _check(decision, ids, text, all_of, list_only)
    if not home.ledger_db.exists():
        if list_only or not (decision or _at_terminal(as_json)):
            show({"waiting": [], "count": 0}, as_json=as_json, human=lambda: _print_list([]))
            return
        raise NothingToDo("nothing waits for review: there is no feedback yet")
    if decision is not None:
        _decide(home, decision, ids or [], text, all_of, who(by), as_json=as_json)
    elif list_only or not _at_terminal(as_json):
        _list(home, limit, as_json=as_json)
    else:
        _ask(home, who(by))


def register(feedback_app: typer.Typer) -> None:
    """Put `review` among the commands of `strop feedback`."""
    feedback_app.command(epilog='\b\nExample:\n  strop feedback review --all-of ann --accept --by "Ms Moon"')(review)


def who(by: str | None) -> str:
    """Who decides. Raises UsageError for a blank name."""
    import getpass

    from strop.feedback.records import check_label

    check_label("--by", by or "")
    if by is not None and not by.strip():
        raise UsageError("--by is empty", hint="name who decides, or leave it out")
    try:
        return by or getpass.getuser()
    except (KeyError, OSError):  # a container without users
        return "owner"


def visible(text: str) -> str:
    """`text` with every character that a terminal would obey or not show written out: \\x1b, \\u202e.

    What is decided on must be seen: a hidden word can be a planted trigger.
    """
    return "".join(char if char in "\n\t" or _shows(char) else _written_out(char) for char in text)


def _shows(char: str) -> bool:
    # Control, format (direction marks, joiners), surrogate, private use, unassigned, other separators, variations.
    hidden = unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return not hidden and not "\ufe00" <= char <= "\ufe0e" and not "\U000e0100" <= char <= "\U000e01ef"


def _written_out(char: str) -> str:
    return char.encode("ascii", "backslashreplace").decode() if ord(char) > 0x7F else f"\\x{ord(char):02x}"


def _at_terminal(as_json: bool) -> bool:
    return not as_json and sys.stdin.isatty() and sys.stderr.isatty()


def _decision(accept: bool, reject: bool, edit: bool) -> "Decision | None":
    wanted: dict[Decision, bool] = {"accept": accept, "reject": reject, "edit": edit}
    given = [name for name, chosen in wanted.items() if chosen]
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]}: one decision at a time", hint=_HELP)
    return given[0] if given else None


def _check(
    decision: "Decision | None", ids: Sequence[str] | None, text: str | None, all_of: str | None, list_only: bool
) -> None:
    """Raise UsageError for options that contradict each other or lack something."""
    if decision is None and (ids or all_of is not None or text is not None):
        raise UsageError("say what to do with it: --accept, --reject or --edit", hint=_HELP)
    if decision is not None and list_only:
        raise UsageError("--list decides nothing", hint=_HELP)
    if decision is not None and bool(ids) == (all_of is not None):
        raise UsageError("name reactions by their ids, or a user with --all-of: one of the two", hint=_HELP)
    if (decision == "edit") != (text is not None):
        raise UsageError("--edit and --text go together", hint=_HELP)
    if decision == "edit" and (all_of is not None or len(ids or ()) != 1):
        raise UsageError("--edit takes one id", hint=_HELP)
    if all_of is not None and not all_of.strip():
        raise UsageError("--all-of is empty: what nobody signed is looked at one by one", hint=_HELP)


def _decide(
    home: "Home",
    decision: "Decision",
    ids: Sequence[str],
    text: str | None,
    all_of: str | None,
    by: str,
    *,
    as_json: bool,
) -> None:
    """Write one decision down for every reaction that is named, all or none."""
    from strop.feedback.overview import reaction_id, waiting
    from strop.feedback.reviews import decide
    from strop.ledger import open_ledger

    words = read_stdin() if text == "-" else text
    with open_ledger(home) as ledger, ledger.transaction():
        chosen = _all_of(ledger, all_of) if all_of is not None else [reaction_id(ledger, one) for one in ids]
        for signal_id in chosen:
            decide(ledger, signal_id, decision, by, words)
        left = waiting(ledger)
    data = {"decision": decision, "who": by, "signals": chosen, "waiting": left}
    show(data, as_json=as_json, human=lambda: say(f"{_DONE[decision]} {len(chosen)} as {by}; {left} wait"))


def _all_of(ledger: "Ledger", user: str) -> list[str]:
    """What waits of a user whose name was vouched for when it came in. Raises NothingToDo."""
    from strop.feedback.reviews import waiting

    found = [one.signal_id for one in waiting(ledger) if (one.signal.user, one.signal.trust) == (user, "known")]
    if not found:
        raise NothingToDo(f"nothing of {user!r} waits for review", hint="strop feedback review --list")
    return found


def _list(home: "Home", limit: int, *, as_json: bool) -> None:
    from itertools import islice

    from strop.feedback import overview
    from strop.ledger import open_ledger

    with open_ledger(home) as ledger:
        suspicious = _suspicious(home, ledger, quiet=as_json)
        found = list(islice(_waiting(ledger, suspicious), min(limit, sys.maxsize)))
        count = overview.waiting(ledger) + len(suspicious)
    show({"waiting": [_facts(one) for one in found], "count": count}, as_json=as_json, human=lambda: _print_list(found))
    if count > len(found):
        hint(f"{count - len(found)} more wait: --limit")
    if found:
        hint(_COMMANDS)


def _suspicious(home: "Home", ledger: "Ledger", *, quiet: bool) -> dict[str, str]:
    """The owner's reactions that look like a planted trigger, with the reason."""
    from strop.config import load
    from strop.feedback.suspects import quarantined, suspicious

    with progress(quiet=quiet) as on_progress:
        on_progress("looking for planted triggers", None, "")
        found = quarantined(ledger, load(home).feedback)
    for sentence in found.sentences:
        note(sentence)
    return suspicious(found)


def _waiting(ledger: "Ledger", suspicious: dict[str, str]) -> "Iterator[Waiting]":
    from strop.feedback.reviews import waiting

    return waiting(ledger, suspicious)


def _ask(home: "Home", by: str) -> None:
    """Show one reaction after the other, and write down what the person at the terminal decides."""
    from collections import Counter

    from strop.feedback import overview
    from strop.feedback.reviews import decide
    from strop.ledger import open_ledger

    done: Counter[str] = Counter()
    with open_ledger(home) as ledger:
        suspicious = _suspicious(home, ledger, quiet=False)
        count = overview.waiting(ledger) + len(suspicious)
        if not count:
            raise NothingToDo("nothing waits for review", hint="strop feedback stats")
        for number, one in enumerate(_waiting(ledger, suspicious), start=1):
            note(f"\n{number} of {count}")
            _print_one(one)
            decision, text = _answered(one)
            if decision == "quit":
                break
            if decision != "skip":
                decide(ledger, one.signal_id, decision, by, text)
                done[decision] += 1
    said = ", ".join(f"{_DONE[name]} {done[name]}" for name in _DONE if done[name])
    say(f"{said or 'decided nothing'}; {count - done.total()} wait")


def _answered(one: "Waiting") -> "tuple[Decision | Literal['skip', 'quit'], str | None]":
    """What the person wants done; asks again until a key says it."""
    edits = "[e]dit, " if one.signal.text is not None else ""
    while True:
        typer.echo(f"[a]ccept, [r]eject, {edits}[s]kip, [q]uit: ", err=True, nl=False)
        try:
            key = typer.getchar().lower()
        except EOFError:
            key = "q"
        shown = {"a": "accept", "r": "reject", "s": "skip", "q": "quit", **({"e": "edit"} if edits else {})}.get(key)
        note(shown or "")
        if key in ("s", "q"):
            return ("skip" if key == "s" else "quit"), None
        if shown == "edit":
            text = typer.prompt("what it is to say (empty: nothing changes)", default="", show_default=False, err=True)
            if text.strip():
                return "edit", text
        elif shown is not None:
            return _KEYS[key], None


def _print_one(one: "Waiting") -> None:
    """All that is decided on, on stderr where the question stands."""
    asked, signal = one.interaction, one.signal
    before = len(asked.messages) - 1
    note(f"waits because {one_line(one.why, 200)}")
    note(f"prompt{f' (after {before} other messages)' if before else ''}:")
    note(indented(_cut(visible(asked.prompt), one.interaction_id)))
    note(f"answer:\n{indented(_cut(visible(asked.answer), one.interaction_id))}")
    when = f"{signal.time:%Y-%m-%d %H:%M}"
    note(one_line(f"{signal.kind} {signal.value:+g} by {signal.user or 'somebody'} from {signal.source}, {when}", 200))
    if signal.text:
        note(indented(visible(signal.text)))


def _cut(text: str, interaction_id: str) -> str:
    if len(text) <= _SHOWN_CHARS:
        return text
    rest = len(text) - _SHOWN_CHARS
    return f"{text[:_SHOWN_CHARS]}\n[{rest:,} characters more: strop feedback show {interaction_id[:ID_CHARS]}]"


def _facts(one: "Waiting") -> dict[str, Any]:
    return {
        "id": one.signal_id,
        **one.signal.as_dict(),
        "why": one.why,
        "interaction": one.interaction_id,
        "prompt": one.interaction.prompt,
        "answer": one.interaction.answer,
    }


def _print_list(found: "Sequence[Waiting]") -> None:
    rows = []
    for one in found:
        signal, asked = one.signal, one.interaction
        said = f"{signal.kind} {signal.value:+g}" + (f": {one_line(visible(signal.text))}" if signal.text else "")
        texts = (one_line(visible(asked.prompt)), one_line(visible(asked.answer)))
        rows.append((one.signal_id[:ID_CHARS], *texts, said, one_line(one.why)))
    table(("id", "prompt", "answer", "reaction", "waits because"), rows)
