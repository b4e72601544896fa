"""One open SQLite file: threads share it, a fork is safe, writing is all or nothing, long reads come page by page.

What the tables mean is `strop.feedback.ledger`'s, and how the file is opened `strop.feedback.connection`'s.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

from strop.errors import LedgerError
from strop.feedback.connection import connect, explained, in_turn

# A page of a long read: at most this long, and at most this many rows.
PAGE_S = 0.05
_PAGE_ROWS = 1000


class Database:
    """An open file and its connection. Threads may share it; a forked child gets its own connection.

    Raises LedgerError where the file cannot be used, Locked where another process holds it for half a minute.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = connection
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._inherited: list[sqlite3.Connection] = []

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything added inside is stored together when the block ends, or not at all when it raises."""
        with self._use() as connection:
            if connection.in_transaction:
                yield
                return
            in_turn(connection, "BEGIN IMMEDIATE")
            try:
                yield
                in_turn(connection, "COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def execute(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Cursor:
        """Run one writing statement, in the open transaction or in one of its own. For the rooms of this stage."""
        with self.transaction(), self._use() as connection:
            return connection.execute(statement, values)

    def execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one writing statement for many rows, all or none. For the rooms of this stage."""
        with self.transaction(), self._use() as connection:
            connection.executemany(statement, rows)

    def page(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """The first rows of a query, as many as come within `PAGE_S`: an open read keeps writers waiting."""
        with self._use() as connection, contextlib.closing(connection.execute(sql, values)) as cursor:
            rows, end = [], monotonic() + PAGE_S
            for row in cursor:
                rows.append(row)
                if len(rows) >= _PAGE_ROWS or monotonic() > end:
                    break
            return rows

    def query(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """All rows of a short query. For the rooms of this stage."""
        with self._use() as connection:
            return connection.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        if os.getpid() != self._process:
            self._reopen_in_child()
        with self._lock, explained(self.path):
            if self._connection is None:
                raise LedgerError(f"the ledger {self.path} is closed", hint="open it again with Ledger.open")
            yield self._connection

    def _reopen_in_child(self) -> None:
        """A connection must not be used across a fork. The parent's is kept unused: closing it could drop its locks."""
        if self._connection is not None:
            self._inherited.append(self._connection)
            self._connection = connect(self.path)
        self._lock, self._process = threading.RLock(), os.getpid()
