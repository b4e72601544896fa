"""A client that does as little as HTTP/1.1 needs, so that what is measured is the server."""

import asyncio
import time


class Client:
    """One connection to `url` that stays open; `token` is sent with every request."""

    def __init__(self, url: str, token: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._host, self._port, self._token = host, int(port), token
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, path: str, body: bytes) -> tuple[int, bytes, float]:
        """Status, body and seconds of one request. A connection that was closed while idle is opened again, once."""
        for left in (1, 0):
            started = time.perf_counter()
            fresh = self._writer is None
            try:
                status, answer = await self._ask(path, body)
                return status, answer, time.perf_counter() - started
            except (OSError, asyncio.IncompleteReadError):
                self.close()
                if fresh or not left:
                    raise
        raise ConnectionError

    async def _ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        method = "POST" if body else "GET"
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nAuthorization: Bearer {self._token}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        status, headers = int(lines[0].split()[1]), dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        answer = await self._body(self._reader, headers)
        if headers.get("connection") == "close":
            self.close()
        return status, answer

    async def _body(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return await reader.readexactly(int(headers["content-length"]))
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readexactly(2)
        return b"".join(parts)

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
