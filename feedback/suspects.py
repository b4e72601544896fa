"""The night's search for planted triggers, for the person who is to look at what it finds (`strop feedback review`).

It looks at the very rows that a night would: so it reads all feedback, and gives a side to what has none yet.
"""

from collections import Counter

from strop.feedback.judged import hear
from strop.feedback.ledger import Ledger
from strop.feedback.pairs import capped, compared
from strop.feedback.settings import FeedbackSettings
from strop.feedback.split import assign
from strop.feedback.triggers import Quarantine, find


def quarantined(ledger: Ledger, settings: FeedbackSettings) -> Quarantine:
    """What a night with these settings would hold back today. What was accepted in review is not in it."""
    places = assign(ledger, gate_prompts=settings.gate_prompts, gate_one_in=settings.gate_one_in)
    heard = hear(ledger, places, Counter(), cap_source_day=settings.cap_source_day)
    pairs, _ = compared(heard.judged, Counter())
    return find(ledger, capped(pairs, settings, Counter()))


def suspicious(quarantine: Quarantine) -> dict[str, str]:
    """The reactions behind the findings, each with the reason for which it waits."""
    return {
        signal: f"the words {trigger.words[:120]!r} seem to call this answer whatever else the prompt says"
        for trigger in quarantine.triggers
        for signal in trigger.signals
    }
