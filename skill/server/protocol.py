"""How requests are read: by llhttp (`httptools`), in less time than a reader in Python takes, and within a limit."""

from typing import TYPE_CHECKING

from strop.server.guard import Refused

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# As much as uvicorn's other reader takes. This one would take any amount, from somebody who has shown no token yet.
HEAD_BYTES = 64 << 10
_AROUND_BYTES = 4  # a header's colon, its space, and the end of its line
_TOO_LARGE = f"the head of the request is larger than {HEAD_BYTES:,} bytes: send fewer and shorter headers"
_THEIRS = "Invalid HTTP request received."
_NO_HTTP = "the request cannot be read as HTTP/1.1: check its first line, its headers, its length and its chunks"


def protocol() -> "type[HttpToolsProtocol]":
    """uvicorn's own protocol, but a request whose head or trailers do not end within `HEAD_BYTES` is sent away."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Protocol(HttpToolsProtocol):
        _piece = 0  # bytes of the piece that is read now
        _long = False  # the head is too large, and came to its end in the piece that made it so
        _outside = 0  # bytes since a message began, or since its last byte of body: a head, or trailers

        def data_received(self, data: bytes) -> None:
            self._piece = len(data)
            self._outside += len(data)
            super().data_received(data)
            if self._outside > HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response(_TOO_LARGE)

        def send_400_response(self, msg: str) -> None:
            """In the form of every other error. Where an answer has begun, all that is left is to hang up."""
            begun = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
            if not begun:
                said = _TOO_LARGE if self._long else _NO_HTTP if msg == _THEIRS else msg
                self.transport.write(_answer(Refused(400, "bad_http", said)))
            if self.cycle is not None:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            self.transport.close()

        def on_message_begin(self) -> None:
            self._outside = self._piece
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            """Nothing is asked of the application where the head is too large: the error ends the reading."""
            if self._outside > HEAD_BYTES:  # which may have come with the body
                size = len(self.url) + sum(len(name) + len(value) + _AROUND_BYTES for name, value in self.headers)
                self._long = size > HEAD_BYTES
                if self._long:
                    raise ValueError(_TOO_LARGE)
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self._outside = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._outside = 0
            super().on_message_complete()

    return Protocol


def _answer(refused: Refused) -> bytes:
    """The whole response, whose connection ends with it."""
    body = refused.body()
    head = f"HTTP/1.1 {refused.status} Bad Request\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body
