"""A connection to the collector byte by byte, for what HTTP clients do not do."""

import asyncio
import base64

from tests.collector.conftest import Served
from tests.collector.made import WRITE_KEY

KEY = base64.b64encode(f"{WRITE_KEY}:".encode()).decode()
EVENT = b'{"event":"E","userId":"u"}'


def request(body: bytes = EVENT, version: str = "1.1", **headers: str) -> bytes:
    """The bytes of a POST /v1/track."""
    lines = {"Host": "h", "Authorization": f"Basic {KEY}", "Content-Length": str(len(body))} | headers
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"POST /v1/track HTTP/{version}\r\n{head}\r\n".encode() + body


class Wire:
    """A connection on which nothing is done by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, served: Served) -> "Wire":
        """A connection; it is closed when the test is over."""
        wire = cls(*await asyncio.open_connection("127.0.0.1", served.port))
        served.clients.append(wire.writer)
        return wire

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, body of the next answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode(errors="replace")
        status, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(status.split()[1]), headers, body

    async def is_closed(self) -> bool:
        """Whether the collector closes the connection without another byte."""
        return await self.reader.read(1) == b""
