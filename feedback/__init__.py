"""What people say about answers: stored for good, split into train and gate, and made into training rows.

Importing this package loads the standard library only; what needs more is imported by the module that needs it
(`strop.feedback.split` loads datasketch when it has prompts to compare).
"""

from strop.feedback.collector import FeedbackCollector
from strop.feedback.ledger import Ledger
from strop.feedback.records import Interaction, Message, Signal

__all__ = ["FeedbackCollector", "Interaction", "Ledger", "Message", "Signal"]
