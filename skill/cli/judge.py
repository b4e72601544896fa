"""`strop judge`: ten pairs of answers, blind, one key each."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strop.cli.output import JsonFlag, end, hint, indented, note, say, session, show
from strop.cli.progress import progress
from strop.errors import UsageError

if TYPE_CHECKING:
    from strop.blind import Question, Settled, Sheet

app = typer.Typer()

_WORDS = {"a": "first", "b": "second", "s": "same"}
_STOP = ("q", "\x04", "")  # the end of the input stops too
_KEYS = "a: the first is better, b: the second, s: no difference, q: go on later"


@app.command(epilog="\b\nExample:\n  strop judge")
def judge(
    ctx: typer.Context,
    answers: Annotated[
        str | None,
        typer.Option(metavar="KEYS", help="The keys for the next questions, without a terminal: one of a, b, s each."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say which of two answers is better, ten times: what thumbs alone cannot settle, you can.

    After a night with thumbs and too few corrections. Which model wrote which answer is not shown, and the order is
    drawn. Every key is kept at once; after the last one the gate decides, and the night goes on from there. Leaves with
    0 for promote, 20 for keep, 21 for undecided.
    """
    from strop import blind
    from strop.config import load
    from strop.night import EXIT_CODES

    home = session(ctx).home.ensure()
    config = load(home)
    sheet = blind.waiting(home)
    if answers is not None:
        sheet = sheet.answered(_words(answers, len(sheet.questions) - len(sheet.words)))
    elif not sheet.whole and not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        sheet = _asked(sheet)
    if not sheet.whole:
        return _left(sheet, as_json=as_json)
    with progress(quiet=as_json) as on_progress:
        settled = blind.settle(home, config, on_progress)
    show(_as_dict(settled), as_json=as_json, human=lambda: say(_sentence(settled)))
    if settled.outcome == "undecided":
        hint("strop feedback add, then strop night: where the gate cannot tell, strop judge may come again with it")
    end(EXIT_CODES[settled.outcome])


def _words(keys: str, left: int) -> list[str]:
    """What these keys say of the next questions, of which so many are left."""
    unknown = sorted(set(keys.lower()) - set(_WORDS))
    if unknown or not keys:
        raise UsageError(f"--answers takes the keys a, b and s, not {keys!r}", hint="strop judge --answers abs")
    if len(keys) > left:
        questions = "1 question is" if left == 1 else f"{left} questions are"
        keyed = f"strop judge --answers {keys[:left]}" if left else "strop judge"
        raise UsageError(f"--answers {keys} has {len(keys)} keys, but {questions} left", hint=keyed)
    return [_WORDS[key] for key in keys.lower()]


def _asked(sheet: "Sheet") -> "Sheet":
    """Ask on the terminal; what is left when they stop is asked next time."""
    note(_KEYS)
    for question in sheet.questions[len(sheet.words) :]:
        say(_shown(question, len(sheet.words) + 1, len(sheet.questions)))
        key = ""
        while key not in _WORDS:
            key = typer.getchar().lower()
            if key in _STOP:
                return sheet
        sheet = sheet.answered([_WORDS[key]])
    return sheet


def _shown(question: "Question", number: int, of: int) -> str:
    turns = "\n".join(f"{turn['role']}:\n{indented(turn['content'])}" for turn in question.messages)
    head = f"\n{number} of {of}\n{turns}"
    return f"{head}\n\na:\n{indented(question.first)}\n\nb:\n{indented(question.second)}\n"


def _left(sheet: "Sheet", *, as_json: bool) -> None:
    """The questions that are left: nothing is decided before the last."""
    left = sheet.questions[len(sheet.words) :]

    def human() -> None:
        for number, question in enumerate(left, start=len(sheet.words) + 1):
            say(_shown(question, number, len(sheet.questions)))

    shown = [{"messages": list(one.messages), "a": one.first, "b": one.second} for one in left]
    data: dict[str, Any] = {"answered": len(sheet.words), "left": len(left), "questions": shown}
    if as_json or not sys.stdout.isatty():
        show(data, as_json=as_json, human=human)
    hint(f"{len(left)} are left: strop judge, or strop judge --answers {'a' * len(left)} with a key for each")


def _sentence(settled: "Settled") -> str:
    said = {
        "promote": f"promoted: {settled.live} is live",
        "keep": f"kept: {settled.live} stays live, {settled.candidate} is refused",
        "undecided": f"undecided: {settled.live} stays live, {settled.candidate} is refused",
    }[settled.outcome]
    hub = [f"hub: {settled.pushed.sentence}"] if settled.pushed else []
    return "\n".join([said, *(f"  - {reason}" for reason in settled.reasons), *hub, f"report: {settled.report}"])


def _as_dict(settled: "Settled") -> dict[str, Any]:
    return {
        "verdict": {"outcome": settled.outcome, "reasons": list(settled.reasons)},
        "version": settled.candidate,
        "live": settled.live,
        "report": settled.report,
        "hub": settled.pushed.as_dict() if settled.pushed else None,
    }
