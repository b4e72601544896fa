"""The ledger of a home, opened as its settings say: every door that stores feedback opens it here."""

import os
import tomllib
from dataclasses import dataclass

from strop.feedback import FeedbackCollector, Ledger
from strop.feedback.scrub import Scrubber
from strop.home import Home

# Settings that say nothing about storing feedback.
_OTHER = {"model", "target", "quant", "quant_max_kl", "seed", "trainer", "gate", "night", "ollama", "hub", "serve"}


@dataclass(frozen=True, slots=True)
class Rules:
    """Whose reactions train, and what takes secrets out of texts before they are stored (None: nothing does)."""

    owners: tuple[str, ...]
    scrubber: Scrubber | None


def rules(home: Home) -> Rules:
    """What the settings say. They are read only where they may say it: that takes as long as all the rest of `add`.

    Raises ConfigError.
    """
    if _says_more(home) or any(name.upper().startswith("STROP_FEEDBACK") for name in os.environ):
        from strop.config import load

        settings = load(home).feedback
        return Rules(settings.owners, settings.scrub.scrubber())
    return Rules(("owner",), Scrubber())


def _says_more(home: Home) -> bool:
    """Whether the settings hold anything that is not known to be about something else; a damaged file does."""
    if not home.config_file.exists():
        return False
    try:
        return not set(tomllib.loads(home.config_file.read_text("utf-8"))) <= _OTHER
    except ValueError:
        return True


def open_ledger(home: Home, found: Rules | None = None) -> Ledger:
    """The home's ledger, made where there is none. `found`: the rules, where they were read before."""
    return Ledger.open(home.ledger_db, scrubber=(found or rules(home)).scrubber)


def open_collector(home: Home, found: Rules | None = None) -> FeedbackCollector:
    """A collector on the home's ledger, as `open_ledger`."""
    found = found or rules(home)
    return FeedbackCollector(home.ledger_db, owners=found.owners, scrubber=found.scrubber)
