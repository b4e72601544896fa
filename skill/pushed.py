"""A push to the Hub after a promotion, where `hub.push_on_promote` asks for it, and what came of it.

It comes after the release and before the night's end: a night that was killed in it pushes again, and one whose push
failed ends as promoted all the same, with the command that tries again in its report.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop import morning
from strop.config import Config
from strop.deploy.versions import Version
from strop.errors import StropError
from strop.home import Home
from strop.setup import OnProgress
from strop.steps import Done, Steps, input_hash

TITLE = "The Hub"


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a push, for the night's report; `error` is empty where it went well, `command` tries again."""

    repo: str
    url: str = ""
    commit: str = ""
    error: str = ""
    command: str = ""

    @property
    def sentence(self) -> str:
        """With the command that tries again where it failed."""
        if self.error:
            return f"not pushed to {self.repo}: {self.error}; try again with: {self.command}"
        return f"pushed to {self.url}, commit {self.commit[:12]}"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "repo": self.repo,
            "url": self.url or None,
            "commit": self.commit or None,
            "error": self.error or None,
            "command": self.command or None,
        }


def publish(
    home: Home, config: Config, version: Version, steps: Steps, run_id: str, report: Path, on_progress: OnProgress
) -> Told:
    """Push a version that has just gone live, as a step of the run `run_id`, and add a line to its report."""
    found: list[Told] = []

    def work() -> Done:
        told = after_promotion(home, config, version.tag, on_progress)
        found.append(told)
        with contextlib.suppress(OSError):  # a full disk: the journal and the night's own answer say it too
            morning.add(report, TITLE, told.sentence)
        return Done(report, "", told.as_dict())

    steps.do("push", input_hash(version.sha256, run_id), work, lambda row: row)
    return found[0]


def after_promotion(home: Home, config: Config, tag: str, on_progress: OnProgress) -> Told:
    """Push this version and say what came of it. Never raises: the promotion stands whatever happens."""
    from strop.hub import AGAIN, push

    repo, again = config.hub.repo, f"{AGAIN} {tag}"
    try:
        _, done = push(home, config, tag, on_progress=on_progress)
    except StropError as error:
        told = Told(repo, error=str(error), command=again)
    except Exception as error:  # a library's own fault must not end a night whose model is live
        told = Told(repo, error=type(error).__name__, command=again)
    else:
        told = Told(repo, done.url, done.commit)
    on_progress("push", 1.0, told.sentence)
    return told
