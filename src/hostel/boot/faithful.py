"""What stands between mod_wsgi and an app, and mends what mod_wsgi leaves wrong. No more.

Stands alone, and lies beside the wsgi.py that loads it. It is in the memory of every process of
every site: what only some requests need is imported where they need it.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WHOLE = (list, tuple)
"""Answers without a middle to fail in."""


class Short(Exception):
    """The app ended its answer before the length that it had stated."""


def faithful(app: Any) -> Any:
    """The same app, told the path as it was sent, and whose answers arrive as what they are.

    mod_wsgi makes one slash of several in PATH_INFO. It prints the traceback that hangs on an
    exception itself, and before Python 3.12 one is hung there only where the exception is caught.
    It lets an answer that fails in its middle, or ends there, pass for a whole one. And over
    HTTP/2 httpd sends a body to HEAD, from the second piece on.
    """

    def application(environ: Any, start_response: Any) -> Any:
        target = environ["REQUEST_URI"]
        if "//" in target or "%2" in target:
            environ["PATH_INFO"] = sent_path(target, environ["PATH_INFO"])
        answer = _Answer(environ, start_response)
        try:
            pieces = app(environ, answer.start_response)
        except BaseException:
            answer.fail()
            raise
        kind_of = type(pieces)
        if kind_of.__module__ == "mod_wsgi":  # A file, that httpd sends by itself.
            return pieces
        if kind_of in _WHOLE and not answer.head and answer.is_whole_with(pieces):
            return pieces
        answer.pieces = pieces
        return answer

    return application


def sent_path(target: str, seen: str) -> str:
    """PATH_INFO as the request's target has it, where httpd saw the same but for its slashes.

    So whatever else httpd does to a path, such as to resolve its dots, stays.
    """
    from urllib.parse import unquote_to_bytes

    path = target.partition("?")[0]
    if not path.startswith("/"):  # a whole URL
        path = "/" + path.partition("://")[2].partition("/")[2]
    path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    merged = path
    while "//" in merged:
        merged = merged.replace("//", "/")
    return path if merged == seen else seen


class _Answer:
    """An app's answer, piece by piece. One that fails after its first piece takes the connection
    with it: httpd would go on to the next answer there, and end the stream of HTTP/2 in order."""

    __slots__ = ("_start", "_write", "environ", "head", "length", "pieces", "sent")

    def __init__(self, environ: Any, start_response: Any) -> None:
        self.environ = environ
        self.head = environ["REQUEST_METHOD"] == "HEAD"
        self.pieces: Any = ()
        self.length: int | None = None
        self.sent = 0
        self._start = start_response

    def start_response(self, status: str, headers: Any, *exc_info: Any) -> Any:
        self._write = self._start(status, headers, *exc_info)
        self.length = None
        if not self.head and status[:3] not in ("204", "304"):  # which have none, whatever they say
            for name, value in headers:
                if len(name) == 14 and name.lower() == "content-length" and value.isdecimal():
                    self.length = int(value)
        return self.write

    def write(self, piece: bytes) -> None:
        if self.head:
            return
        sent, self.sent = self.sent, 0  # Where the client has gone away, nothing is to be cut.
        self._write(piece)
        self.sent = sent + len(piece)

    def is_whole_with(self, pieces: list[bytes] | tuple[bytes, ...]) -> bool:
        return self.length is None or self.sent + sum(map(len, pieces)) >= self.length

    def __iter__(self) -> Any:
        try:
            for piece in self.pieces:
                if piece and not self.head:
                    yield piece
                    self.sent += len(piece)
            if not self.is_whole_with(()):
                raise Short(f"the app sent {self.sent} bytes of the {self.length} it had announced")
        except GeneratorExit:
            raise
        except BaseException:
            self.fail()
            raise

    def fail(self) -> None:
        if self.sent:
            hang_up(self.environ)

    def close(self) -> None:
        close = getattr(self.pieces, "close", None)
        if close is not None:
            close()


def hang_up(environ: dict[str, Any]) -> None:
    """Cut the connection that this request came on.

    It is httpd's, and nothing of mod_wsgi leads to it: it is found among this process's sockets
    by the ports of its two ends. Clients of two addresses may use one port; then the address
    tells them apart. Behind a router REMOTE_ADDR is no end of it, and the ports are enough.
    """
    import socket

    ends = int(environ["mod_wsgi.listener_port"]), int(environ["REMOTE_PORT"])
    by_port, by_address = [], []
    for one in _connections():
        if (one.getsockname()[1], one.getpeername()[1]) == ends:
            by_port.append(one)
            if one.getpeername()[0].removeprefix("::ffff:") == environ["REMOTE_ADDR"]:
                by_address.append(one)
    for one in by_address or (by_port if len(by_port) == 1 else ()):
        one.shutdown(socket.SHUT_RDWR)


def _connections() -> list[Any]:
    """The TCP connections of this process, as sockets that may be closed without closing them.

    Each once, though a second descriptor may lead to it: one that was just made here, or in
    another thread.
    """
    import socket
    import stat

    found = {}
    for name in os.listdir("/dev/fd"):  # noqa: PTH208
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                one = socket.socket(fileno=os.dup(int(name)))
                if one.family != socket.AF_UNIX:
                    found[one.getsockname(), one.getpeername()] = one
        except OSError:  # closed meanwhile, or no connection
            continue
    return [*found.values()]
