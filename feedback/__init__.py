"""What people say about answers: stored for good, split into train and gate, and made into training rows.

Importing this package loads the standard library only; what needs more is imported by the function that needs it
(NumPy to sketch many prompts at once, `phonenumbers` and `python-stdnum` to check what looks like a number).
"""

from strop.feedback.collector import FeedbackCollector
from strop.feedback.ledger import Ledger
from strop.feedback.records import Interaction, Message, Signal

__all__ = ["FeedbackCollector", "Interaction", "Ledger", "Message", "Signal"]
