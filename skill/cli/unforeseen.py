"""What no code of ours foresaw, in the words of `strop.errors`: one line, a next step and an exit code.

A full disk has many names by the time it gets here: an OSError, SQLite's own error, a line that a writer in Rust or a
child process left, the cause behind an error of ours that says something else. All of them are DiskFull.
"""

import errno
import shlex
from collections.abc import Iterator, Sequence

from strop.errors import DiskFull, Missing, StropError, UsageError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_IN_WORDS = ("No space left on device", "database or disk is full", "Disk quota exceeded")
_FREE_SOME = "free some space, then the same command again: what was stored before is whole"


def told(error: Exception, args: Sequence[str]) -> StropError:
    """The error that is shown for `error`, which the command line `args` raised. One of ours is mostly kept."""
    if isinstance(error, DiskFull):
        return error
    if (full := next((one for one in _chain(error) if _is_full(one)), None)) is not None:
        return DiskFull(f"no space is left: {_line(full)}", hint=_FREE_SOME)
    if isinstance(error, StropError):
        return error
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("strop"):
        return Missing(f"the package {error.name} is not installed", hint="pip install 'strop[all]'")
    if isinstance(error, UnicodeEncodeError) and _is_surrogate(error):
        return UsageError(
            f"a text holds half of a character (U+{ord(error.object[error.start]):04X}), which cannot be written",
            hint="type the text again, or give it as UTF-8",
        )
    return StropError(_named(error), hint=f"strop --verbose {shlex.join(args)} shows where it happened")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, as a traceback would show them."""
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        seen.append(at)
        yield at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(words in str(error) for words in _FULL_IN_WORDS)


def _is_surrogate(error: UnicodeEncodeError) -> bool:
    return "\ud800" <= error.object[error.start] <= "\udfff"


def _line(error: BaseException) -> str:
    said = str(error).splitlines()
    return said[0] if said else type(error).__name__


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {_line(error)}" if str(error) else type(error).__name__
