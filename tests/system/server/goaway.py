"""HTTP/2 frame by frame, for what happens after GOAWAY: the library h2 takes it for the end of
everything, while a server may still have answers to give.
"""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass

from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from .load import Aim

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WIDE = 1 << 30


@dataclass
class Stream:
    """One request; `refused` says that GOAWAY did: nobody has looked at it."""

    path: str
    status: int = 0
    body: bytes = b""
    ended: bool = False
    reset: int | None = None
    refused: bool = False


class Http2Line:
    """One connection. `last` is what GOAWAY said was the last stream that is answered."""

    def __init__(self, aim: Aim) -> None:
        self.host = aim.host
        context = ssl.create_default_context(cadata=aim.authority)
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection((aim.address, aim.port), 120)
        self.socket = context.wrap_socket(plain, server_hostname=aim.host)
        assert self.socket.selected_alpn_protocol() == "h2"
        self.decoder, self.encoder = Decoder(), Encoder()
        self.streams: dict[int, Stream] = {}
        self.goaways: list[int] = []
        self.closed = False
        self.unread = b""
        window = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: WIDE})
        self._send(window, WindowUpdateFrame(0, window_increment=WIDE), first=PREFACE)

    def close(self) -> None:
        self.socket.close()

    @property
    def last(self) -> int | None:
        return self.goaways[-1] if self.goaways else None

    def ask(self, path: str) -> Stream:
        """Begin a request."""
        number = 2 * len(self.streams) + 1
        self.streams[number] = Stream(path)
        fields = [(":method", "GET"), (":scheme", "https"), (":authority", self.host)]
        frame = HeadersFrame(number, self.encoder.encode([*fields, (":path", path)]))
        frame.flags |= {"END_HEADERS", "END_STREAM"}
        self._send(frame)
        return self.streams[number]

    def answered(self, stream: Stream, seconds: float = 600) -> Stream:
        """The stream once it has ended, in whatever way. AssertionError if it is cut off."""
        end = time.monotonic() + seconds
        while not (stream.ended or stream.refused or stream.reset is not None):
            assert not self.closed, f"the connection was cut while {stream.path} was in flight"
            assert time.monotonic() < end, f"no answer to {stream.path}"
            self.listen(1.0)
        return stream

    def listen(self, seconds: float) -> None:
        """Take in what comes within that time; return with the first that did."""
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(1 << 20)
        except TimeoutError:
            return
        except (ssl.SSLError, OSError):
            data = b""
        self.closed = self.closed or not data
        self.unread += data
        while len(self.unread) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self.unread[:9]))
            if len(self.unread) < 9 + length:
                return
            frame.parse_body(memoryview(self.unread[9 : 9 + length]))
            self.unread = self.unread[9 + length :]
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        stream = self.streams.get(frame.stream_id, Stream(""))
        match frame:
            case HeadersFrame():
                assert "END_HEADERS" in frame.flags
                fields = dict(self.decoder.decode(frame.data, raw=True))
                assert b"connection" not in fields, "it has no place in HTTP/2"
                stream.status = stream.status or int(fields[b":status"])
            case DataFrame():
                stream.body += frame.data
            case RstStreamFrame():
                stream.reset = frame.error_code
            case GoAwayFrame():
                # With whatever error: mod_http2 has one for requests that cross its first GOAWAY.
                self.goaways.append(frame.last_stream_id)
                for number, one in self.streams.items():
                    one.refused = one.refused or number > frame.last_stream_id
            case SettingsFrame() if "ACK" not in frame.flags:
                self._send(SettingsFrame(0, flags=["ACK"]))
            case PingFrame() if "ACK" not in frame.flags:
                self._send(PingFrame(0, frame.opaque_data, flags=["ACK"]))
            case _:
                pass
        if "END_STREAM" in frame.flags:
            stream.ended = True

    def _send(self, *frames: Frame, first: bytes = b"") -> None:
        self.socket.settimeout(120)
        try:
            self.socket.sendall(first + b"".join(frame.serialize() for frame in frames))
        except (ssl.SSLError, OSError):
            self.closed = True
