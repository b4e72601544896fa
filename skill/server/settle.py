"""What a server that was killed left in its spool, into the ledger: before a night collects, and before forgetting."""

import time

from strop.errors import Locked
from strop.home import Home

_WAIT_S, _LOOK_S = 10.0, 0.05


def settle(home: Home) -> None:
    """Return when the spool is empty. A server that runs empties it by itself, within a second or two.

    Raises Locked where one runs that cannot, since another program holds the ledger.
    """
    path = home.path / "serve" / "spool.jsonl"
    until = time.monotonic() + _WAIT_S
    while path.exists() and path.stat().st_size:
        if _stored(home):
            return
        if time.monotonic() > until:
            raise Locked("strop serve still has answers that are not in the ledger", hint="try again in a minute")
        time.sleep(_LOOK_S)


def _stored(home: Home) -> bool:
    """Whether it could be done here: not while a server runs."""
    from strop.ledger import open_collector
    from strop.server.recording import Recorder
    from strop.server.running import folder, only_one
    from strop.server.spool import Spool

    try:
        with only_one(home):
            recorder = Recorder(open_collector(home), Spool(folder(home) / "spool.jsonl"))
            recorder.start()
            recorder.close()
    except Locked:
        return False
    return True
