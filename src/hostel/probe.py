"""One real request to an instance, over a real socket and verified TLS. Changes nothing.

Connects to an address but speaks to a name, as a browser behind DNS would. What an answer is
worth, `hostel.verify` decides.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostel.errors import HostelError

if TYPE_CHECKING:
    import ssl

BODY_LIMIT = 65536
STEP = 0.01


@dataclass(frozen=True)
class Answer:
    """What came back; `body_start` is at most 64 KiB of it, `seconds` until the headers came."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body_start: bytes
    seconds: float

    def header(self, name: str) -> str:
        """The first header of this name, or ""."""
        found = (value for key, value in self.headers if key.lower() == name.lower())
        return next(found, "")


class Unanswered(HostelError):
    """The request got no answer that counts."""


class NotListening(Unanswered):
    """Nothing accepts connections there (yet)."""


def ask(
    address: str,
    port: int,
    host: str,
    path: str,
    *,
    authority: Path | None,
    agent: str = "hostel-probe",
    timeout: float = 5.0,
    method: str = "GET",
    proxied: bool = False,
) -> Answer:
    """Ask once for `path` of `host`; over TLS verified by the CA `authority`, if one is given.

    `proxied` begins as a router does, with a line of the PROXY protocol.

    Raises NotListening where nothing listens, Unanswered for anything else that is no HTTP answer.
    """
    began = time.monotonic()
    scheme = "http" if authority is None else "https"
    doing = f"asking {scheme}://{_authority_part(host, port, scheme)}{path}"
    context = _context(authority, doing)
    connection = _Connection(address, port, host, timeout, context, proxied=proxied)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", _authority_part(host, port, scheme))
        connection.putheader("User-Agent", agent)
        connection.putheader("Connection", "close")
        connection.endheaders()
        response = connection.getresponse()
        seconds = time.monotonic() - began
        body = _start_of(response, began + timeout)
        return Answer(response.status, response.reason, tuple(response.getheaders()), body, seconds)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise _explained(doing, f"{address} port {port}", timeout, error) from error
    finally:
        connection.close()


def probe(
    address: str,
    port: int,
    host: str,
    path: str,
    ca: Path | None,
    timeout: float,
    alive: Callable[[], bool] = lambda: True,
) -> Answer:
    """Ask until something listens there, for `timeout` seconds; then take what it answers.

    Gives up at once when `alive()` says that the server has died.
    """
    deadline = time.monotonic() + timeout
    while True:
        left = max(deadline - time.monotonic(), STEP)
        try:
            return ask(address, port, host, path, authority=ca, timeout=left)
        except NotListening as error:
            if not alive():
                raise Unanswered(error.doing, "the server ended before it answered") from error
            if time.monotonic() + STEP > deadline:
                raise
        time.sleep(STEP)


# -- within ---------------------------------------------------------------------------------


class _Connection(http.client.HTTPConnection):
    """Connects to an address and, within TLS, asks for a name."""

    def __init__(
        self,
        address: str,
        port: int,
        name: str,
        timeout: float,
        context: ssl.SSLContext | None,
        *,
        proxied: bool,
    ) -> None:
        super().__init__(address, port, timeout=timeout)
        self._tls_name = name
        self._context = context
        self._proxied = proxied

    def connect(self) -> None:
        self.sock = socket.create_connection((self.host, self.port), self.timeout)
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._proxied:
            port = self.sock.getsockname()[1]
            self.sock.sendall(f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {self.port}\r\n".encode())
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self._tls_name)


def _context(authority: Path | None, doing: str) -> ssl.SSLContext | None:
    if authority is None:
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        raise Unanswered(
            doing,
            f"the certificate authority {authority} cannot be read: {error}",
            "See `hostel cert show`.",
        ) from error
    return context


def _start_of(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """What comes of the body; a stream that never ends is none the worse for it."""
    body = bytearray()
    with contextlib.suppress(OSError, http.client.HTTPException):
        while len(body) < BODY_LIMIT and time.monotonic() < deadline:
            chunk = response.read1(BODY_LIMIT - len(body))
            if not chunk:
                break
            body += chunk
    return bytes(body)


def _authority_part(host: str, port: int, scheme: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port == {"http": 80, "https": 443}[scheme] else f"{shown}:{port}"


def _explained(doing: str, where: str, timeout: float, error: Exception) -> Unanswered:
    import ssl

    if isinstance(error, ConnectionRefusedError):
        return NotListening(doing, f"nothing listens on {where}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unanswered(
            doing, f"its certificate is not good: {error.verify_message}", "See `hostel cert list`."
        )
    if isinstance(error, ssl.SSLError):
        return Unanswered(doing, f"TLS failed on {where}: {error.reason or error}")
    if isinstance(error, TimeoutError):
        return Unanswered(doing, f"no answer within {timeout:.3g} s")
    if isinstance(error, ConnectionError):
        return Unanswered(doing, "it closed the connection without an answer")
    if isinstance(error, http.client.InvalidURL):
        return Unanswered(doing, "that path cannot be asked for", "Write it percent-encoded.")
    if isinstance(error, http.client.HTTPException):
        return Unanswered(doing, f"what listens on {where} does not speak HTTP")
    return Unanswered(doing, getattr(error, "strerror", None) or str(error))
