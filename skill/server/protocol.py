"""How requests are read: by llhttp (`httptools`), in less time than a reader in Python takes, and within a limit."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# As much as uvicorn's other reader takes. This one would take any amount, from somebody who has shown no token yet.
HEAD_BYTES = 64 << 10


def protocol() -> "type[HttpToolsProtocol]":
    """uvicorn's own protocol, but a request whose head or trailers do not end within `HEAD_BYTES` is sent away."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Protocol(HttpToolsProtocol):
        _piece = 0  # bytes of the piece that is read now
        _outside = 0  # bytes since a message began, or since its last byte of body: a head, or trailers

        def data_received(self, data: bytes) -> None:
            self._piece = len(data)
            self._outside += len(data)
            super().data_received(data)
            if self._outside > HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The request's head is too large.")

        def on_message_begin(self) -> None:
            self._outside = self._piece
            super().on_message_begin()

        def on_body(self, body: bytes) -> None:
            self._outside = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._outside = 0
            super().on_message_complete()

    return Protocol
