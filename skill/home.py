"""Where everything of one person's Strop lies: one folder, named once at the edge and passed down.

Nothing else in the product knows a path inside the home by heart, and nothing else reads STROP_HOME.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from strop.files import private_dir


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds the ledger, the state, the models and every artefact. Making one touches no disk."""

    path: Path

    @classmethod
    def locate(cls, env: Mapping[str, str] = os.environ) -> Self:
        """STROP_HOME where it is set and not empty, else the system's folder for a user's application data."""
        if named := env.get("STROP_HOME"):
            return cls(Path(named).expanduser().absolute())
        from platformdirs import user_data_path

        return cls(user_data_path("strop", appauthor=False))

    def ensure(self) -> Self:
        """Make the home and its folders (mode 0700 where the system knows modes); return the home itself."""
        private_dir(self.path)
        for folder in (
            self.models,
            self.datasets,
            self.adapters,
            self.runs,
            self.replays,
            self.builds,
            self.reports,
            self.jobs,
            self.locks,
        ):
            private_dir(folder)
        return self

    @property
    def ledger_db(self) -> Path:
        """The feedback: interactions and signals."""
        return self.path / "ledger.db"

    @property
    def state_db(self) -> Path:
        """The journal, the versions, the live version and the gate's test history."""
        return self.path / "state.db"

    @property
    def config_file(self) -> Path:
        return self.path / "strop.toml"

    @property
    def forgetting_file(self) -> Path:
        """What `forget` has still to take out, there while it is under way: ids and names of folders, no texts."""
        return self.path / "forgetting.json"

    @property
    def rebuild_file(self) -> Path:
        """Since when a night is wanted before its time."""
        return self.path / "rebuild.json"

    @property
    def models(self) -> Path:
        """Base models, resolved and converted once."""
        return self.path / "models"

    @property
    def datasets(self) -> Path:
        return self.path / "datasets"

    @property
    def adapters(self) -> Path:
        return self.path / "adapters"

    @property
    def replays(self) -> Path:
        """The bases' own answers to general prompts."""
        return self.path / "replays"

    @property
    def runs(self) -> Path:
        """Training under way: a folder each, with the checkpoint that it would go on from."""
        return self.path / "runs"

    @property
    def builds(self) -> Path:
        return self.path / "builds"

    @property
    def converter(self) -> Path:
        """Upstream's converter of models to GGUF, where `strop init` made it."""
        return self.path / "converter"

    @property
    def reports(self) -> Path:
        return self.path / "reports"

    @property
    def jobs(self) -> Path:
        """Commands that run, or ran, in the background: a folder each."""
        return self.path / "jobs"

    @property
    def locks(self) -> Path:
        return self.path / "locks"

    @property
    def night_lock(self) -> Path:
        """Held while a night runs."""
        return self.locks / "night.lock"

    @property
    def release_lock(self) -> Path:
        """Held for the moment in which the live version changes."""
        return self.locks / "release.lock"
