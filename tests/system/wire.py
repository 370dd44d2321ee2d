"""HTTP as bytes on a socket: a client that sends what it is told, right or wrong, and reads
answers strictly. What it talks to is an `Endpoint`: an instance, or a router before one.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions

Header = tuple[bytes, bytes]


class Cut(Exception):
    """The connection or the stream ended in the middle of an answer."""


@dataclass(frozen=True)
class Endpoint:
    """Where a site is served, and what its app must be told about a request that comes there."""

    connect: Callable[[], socket.socket]
    """A TCP connection, over which a router may have spoken already."""
    host: str
    port: int
    """As visitors see it."""
    authority: str | None
    """The certificates to trust, as PEM; None is plain HTTP."""
    remote_addr: str
    filtered: bool = False
    """A router reads the first request too. It hangs up where it finds none, and says nothing."""

    def refuses(self, got: bytes, status: int) -> bool:
        """Whether this is the answer to a request that nobody may take for another one."""
        return got.startswith(b"HTTP/1.1 %d " % status) or (self.filtered and not got)

    @property
    def tls(self) -> bool:
        return self.authority is not None

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    @property
    def name(self) -> str:
        """What belongs into Host."""
        return self.host if self.port == (443 if self.tls else 80) else f"{self.host}:{self.port}"

    def context(self, protocol: str = "http/1.1") -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.authority)
        context.set_alpn_protocols([protocol])
        return context

    def open(self, protocol: str = "http/1.1") -> socket.socket:
        connection = self.connect()
        if not self.tls:
            return connection
        wrapped = self.context(protocol).wrap_socket(connection, server_hostname=self.host)
        assert wrapped.selected_alpn_protocol() == protocol
        return wrapped


@dataclass
class Reply:
    """An answer. Names are as they came; interim ones are only counted by their status."""

    status: int
    reason: bytes
    headers: list[Header]
    body: bytes = b""
    interim: list[int] = field(default_factory=list)
    closes: bool = False

    def all(self, name: bytes) -> list[bytes]:
        return [value for one, value in self.headers if one.lower() == name]


class Http1:
    """One connection of HTTP/1. Requests are bytes; answers are read one after the other."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.socket = endpoint.open()
        self.buffer = b""

    def __enter__(self) -> Http1:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self, method: bytes = b"GET") -> Reply:
        """The next answer, whole. Raises `Cut` if it does not come to its end."""
        interim: list[int] = []
        while True:
            reply = self.head()
            if reply.status >= 200:
                break
            interim.append(reply.status)
        reply.interim = interim
        reply.body = b"".join(self.pieces(reply, method))
        reply.closes = reply.closes or b"close" in b",".join(reply.all(b"connection")).lower()
        return reply

    def head(self) -> Reply:
        status, *lines = self._until(b"\r\n\r\n").split(b"\r\n")
        version, code, reason = status.split(b" ", 2)
        assert version == b"HTTP/1.1", status
        headers = []
        for line in lines:
            name, colon, value = line.partition(b":")
            assert colon, line
            headers.append((name, value.strip()))
        return Reply(int(code), reason, headers)

    def pieces(self, reply: Reply, method: bytes = b"GET") -> Iterator[bytes]:
        """The body of the answer whose head was read, as it comes in."""
        if method == b"HEAD" or reply.status in (204, 304):
            return
        if reply.all(b"transfer-encoding"):
            assert reply.all(b"transfer-encoding") == [b"chunked"]
            assert not reply.all(b"content-length")
            while size := int(self._until(b"\r\n"), 16):
                yield self._exactly(size)
                assert self._exactly(2) == b"\r\n"
            assert self._exactly(2) == b"\r\n"
        elif lengths := reply.all(b"content-length"):
            [length] = lengths
            yield self._exactly(int(length))
        else:
            reply.closes = True
            yield self.rest()

    def rest(self) -> bytes:
        """All that still comes until the server closes the connection, which it must."""
        got = [self.buffer]
        self.buffer = b""
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
            while block := self.socket.recv(65536):
                got.append(block)
        return b"".join(got)

    def _until(self, end: bytes) -> bytes:
        while end not in self.buffer:
            self._receive()
        got, _, self.buffer = self.buffer.partition(end)
        return got

    def _exactly(self, size: int) -> bytes:
        got = bytearray(self.buffer)
        while len(got) < size:
            self.buffer = b""
            self._receive()
            got += self.buffer
        self.buffer = bytes(got[size:])
        return bytes(got[:size])

    def _receive(self) -> None:
        try:
            block = self.socket.recv(1 << 20)
        except (ConnectionError, ssl.SSLEOFError) as error:
            raise Cut(str(error)) from None
        if not block:
            raise Cut(f"after {self.buffer!r}")
        self.buffer += block


class Http2:
    """One connection of HTTP/2. Headers go out as they are given, right or wrong."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.socket = endpoint.open("h2")
        self.endpoint = endpoint
        self.wire = h2.connection.H2Connection(
            h2.config.H2Configuration(
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.wire.initiate_connection()
        self._flush()
        self.replies: dict[int, Reply] = {}
        self.bodies: dict[int, bytearray] = {}
        self.ended: set[int] = set()
        self.cut: set[int] = set()

    def __enter__(self) -> Http2:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def request(
        self, method: bytes, target: bytes, headers: Iterable[Header] = (), body: bool = False
    ) -> int:
        """Begin a request; its number. With `body`, what follows goes through `data`."""
        stream = self.wire.get_next_available_stream_id()
        pseudo = [
            (b":method", method),
            (b":scheme", self.endpoint.scheme.encode()),
            (b":authority", self.endpoint.name.encode()),
            (b":path", target),
        ]
        self.wire.send_headers(stream, [*pseudo, *headers], end_stream=not body)
        self._flush()
        return stream

    def data(self, stream: int, data: bytes, end: bool = False) -> None:
        sent = 0
        while sent < len(data):
            room = min(
                self.wire.local_flow_control_window(stream), self.wire.max_outbound_frame_size
            )
            if not room:
                self._receive()
                continue
            self.wire.send_data(stream, data[sent : sent + room])
            sent += room
            self._flush()
        if end:
            self.wire.end_stream(stream)
            self._flush()

    def body_so_far(self, stream: int) -> bytes:
        """What has come of an answer's body, once some has."""
        while not self.bodies.get(stream):
            self._receive()
        return bytes(self.bodies[stream])

    def reply(self, stream: int) -> Reply:
        while stream not in self.ended:
            if stream in self.cut:
                raise Cut("the stream was reset")
            self._receive()
        reply = self.replies.pop(stream)
        reply.body = bytes(self.bodies.pop(stream))
        return reply

    def _flush(self) -> None:
        self.socket.sendall(self.wire.data_to_send())

    def _receive(self) -> None:
        try:
            block = self.socket.recv(1 << 20)
        except (ConnectionError, ssl.SSLEOFError) as error:
            raise Cut(str(error)) from None
        if not block:
            raise Cut("the connection was closed")
        try:
            events = self.wire.receive_data(block)
        except h2.exceptions.ProtocolError as error:
            raise Cut(repr(error)) from None
        for event in events:
            self._take(event)
        self._flush()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                headers = [(bytes(name), bytes(value)) for name, value in event.headers]
                self.replies[event.stream_id] = Reply(int(headers[0][1]), b"", headers[1:])
                self.bodies[event.stream_id] = bytearray()
            case h2.events.DataReceived():
                self.bodies[event.stream_id] += event.data
                self.wire.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.ended.add(event.stream_id)
            case h2.events.StreamReset():
                self.cut.add(event.stream_id)
            case h2.events.ConnectionTerminated():
                raise Cut(f"the server ended the connection: {event.error_code}")
