"""What people say about answers: stored for good, split into train and gate, and made into training rows.

Importing this package loads nothing but itself: a name of `__all__` brings its room with it when it is first asked for,
so that a command which reads the settings alone does not wait for a ledger. What needs more than the standard library
is imported by the function that needs it (NumPy to sketch many prompts at once, `phonenumbers` and `python-stdnum` to
check what looks like a number).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from strop.feedback.collector import FeedbackCollector
    from strop.feedback.ledger import Ledger
    from strop.feedback.records import Interaction, Message, Signal
else:
    _ROOMS = {
        "FeedbackCollector": "collector",
        "Interaction": "records",
        "Ledger": "ledger",
        "Message": "records",
        "Signal": "records",
    }

    def __getattr__(name: str) -> object:
        """The name out of its room (PEP 562)."""
        from importlib import import_module

        if name not in _ROOMS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)


__all__ = ["FeedbackCollector", "Interaction", "Ledger", "Message", "Signal"]
