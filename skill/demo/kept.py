"""What a demo that was stopped has done already, so that the next one goes on there.

The nights keep a journal of their own; this keeps what lies between them: the answers that were read, and what each
night came to. A file is there whole or not at all, and is the demo's for as long as its `key` (all that the answers
follow from) is the same.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from typing import Any, Literal

from strop.files import private_dir, write_json
from strop.home import Home
from strop.night import NightReport

MARK = "demo.json"
State = Literal["none", "playing", "played"]


class Kept:
    """What one home keeps of the demo that is played in it."""

    def __init__(self, home: Home, key: str) -> None:
        self._mark, self._folder, self._key = home.path / MARK, home.path / "played", key

    def state(self) -> State:
        """Whether a demo with this key was begun here, and whether it came to its end."""
        try:
            mark = json.loads(self._mark.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return "none"
        if not isinstance(mark, dict) or mark.get("key") != self._key:
            return "none"
        return "played" if mark.get("state") == "played" else "playing"

    def begin(self) -> None:
        """Keep nothing of an earlier demo; from now on one is being played."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._write("playing")

    def end(self) -> None:
        """The demo came to its end: another one starts over."""
        self._write("played")

    def texts(self, name: str, work: Callable[[], Sequence[str]]) -> list[str]:
        """The texts that `work` gives, asked for once."""
        return [str(text) for text in self._once(name, lambda: list(work()))]

    def report(self, name: str, work: Callable[[], NightReport]) -> NightReport:
        """What a night came to, played once."""
        return _report(self._once(name, lambda: work().as_dict()))

    def _once(self, name: str, work: Callable[[], Any]) -> Any:
        file = self._folder / f"{name}.json"
        if not file.is_file():
            data = work()
            private_dir(self._folder)
            write_json(file, data)
        return json.loads(file.read_text(encoding="utf-8"))

    def _write(self, state: State) -> None:
        write_json(self._mark, {"kind": "demo", "key": self._key, "state": state})


def marked(home: Home) -> bool:
    """Whether some demo was played, or begun, in this home."""
    return (home.path / MARK).is_file()


def _report(data: dict[str, Any]) -> NightReport:
    """From what `as_dict` gave. The demo publishes nothing."""
    same = ("feedback", "rows", "excluded", "seconds", "version", "sha256", "live", "report")
    verdict = data["verdict"]
    return NightReport(
        run_id=data["run"],
        outcome=verdict["outcome"],
        reasons=tuple(verdict["reasons"]),
        **{name: data[name] for name in same},
    )
