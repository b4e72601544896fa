"""How requests are read: by llhttp (`httptools`), in less time than a reader in Python takes, and within a limit."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# As much as uvicorn's other reader takes. This one would take any amount, from somebody who has shown no token yet.
HEAD_BYTES = 64 << 10


def protocol() -> "type[HttpToolsProtocol]":
    """uvicorn's own protocol, but a request whose head does not end within `HEAD_BYTES` is sent away (400)."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Protocol(HttpToolsProtocol):
        _in_head = False
        _head_bytes = 0

        def data_received(self, data: bytes) -> None:
            self._head_bytes += len(data)
            super().data_received(data)
            if self._in_head and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The request's head is too large.")

        def on_message_begin(self) -> None:
            self._in_head, self._head_bytes = True, 0
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            super().on_headers_complete()

    return Protocol
