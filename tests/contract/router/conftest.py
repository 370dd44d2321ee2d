"""A real HAProxy on high loopback ports, and small instances behind it that tell what they saw."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hostel import ports, processes
from hostel.haproxy import RouterPaths, RouterPorts
from hostel.machine import Machine
from hostel.plan import Change, State
from hostel.resources.route import Routes, RouteState, route_key

PATIENCE = 120.0
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


class Instance:
    """What stands for a site's httpd: reads the PROXY header, then HTTP, in TLS if it has any.

    Each answer is its label, the client's address as the header told it, and the request's path.
    A request for `/hold` is answered when `release` is set.
    """

    def __init__(self, label: str, certificate: Path | None = None) -> None:
        self.label = label
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self.held = threading.Event()
        self.release = threading.Event()
        self.server = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = f"127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more; what is open is answered to its end."""
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = self.server.accept()
                threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        with one, contextlib.suppress(OSError, EOFError):
            client = _proxied(one)
            if self.context is None:
                self._answer(one, client)
                return
            with self.context.wrap_socket(one, server_side=True) as inner:
                self._answer(inner, client)

    def _answer(self, one: socket.socket, client: str) -> None:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = one.recv(65536)
                if not more:
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            path = head.split()[1].decode()
            if path == "/hold":
                self.held.set()
                self.release.wait(PATIENCE)
            body = f"{self.label} {client} {path}".encode()
            last = b"Connection: close\r\n" if b"onnection: close" in head else b""
            one.sendall(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (last, len(body)))
            one.sendall(body)
            if last:
                return


def _exactly(one: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = one.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _proxied(one: socket.socket) -> str:
    """The client's address in a PROXY header of version 2."""
    assert _exactly(one, 12) == SIGNATURE
    _command, family, length = struct.unpack("!BBH", _exactly(one, 4))
    rest = _exactly(one, length)
    if family == 0x11:
        return socket.inet_ntop(socket.AF_INET, rest[:4])
    return socket.inet_ntop(socket.AF_INET6, rest[:16])


@dataclass
class Haproxy:
    """A router of a test's own, with its routes; not started before `start`."""

    binary: Path
    folder: Path
    ports: RouterPorts
    paths: RouterPaths
    machine: Machine = field(default_factory=Machine)
    process: subprocess.Popen[bytes] | None = None
    reloads: int = 0

    def __post_init__(self) -> None:
        self.routes = Routes(self.binary, self.ports, self.paths, self.reload, PATIENCE)

    def start(self) -> None:
        self.routes.settle(self.machine)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "-Ws", "-f", self.paths.config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        assert processes.wait(lambda: self.routes.router.running() is not None, PATIENCE), self.log

    def stop(self) -> None:
        if self.process is not None:
            process, self.process = self.process, None
            try:
                process.terminate()
                # Early 2.4 waits for connections of the test's own; workers end with their master.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
            finally:
                process.kill()
                process.wait()

    def reload(self) -> None:
        assert self.process is not None
        self.reloads += 1
        os.kill(self.process.pid, signal.SIGUSR2)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    # -- routes -----------------------------------------------------------------------------

    def seen(self, site: str) -> RouteState | None:
        return self.routes.observe(route_key(site), self.machine)

    def route(self, site: str, names: list[str], http: str = "", https: str = "") -> Change:
        """Make a route as an apply does, and see that it is so."""
        return self.enact(site, RouteState(names=tuple(names), http=http, https=https))

    def enact(self, site: str, state: State | None) -> Change:
        change = Change(route_key(site), self.seen(site), state)
        self.routes.enact(change, self.machine)
        assert self.seen(site) == state
        return change

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.paths.folder.iterdir()}

    # -- clients ----------------------------------------------------------------------------

    def connect(self, scheme: str = "http", address: str = "127.0.0.1") -> socket.socket:
        port = self.ports.http if scheme == "http" else self.ports.https
        return socket.create_connection((address, port), timeout=PATIENCE)

    def raw(self, data: bytes, scheme: str = "http", address: str = "127.0.0.1") -> bytes:
        """What comes back for these bytes until the router or the instance closes."""
        with self.connect(scheme, address) as one:
            with contextlib.suppress(ConnectionError):
                one.sendall(data)
            return everything(one)

    def get(self, name: str, path: str = "/", address: str = "127.0.0.1") -> str:
        request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
        return body(self.raw(request.encode(), address=address))

    def get_tls(self, name: str | None, path: str = "/") -> str:
        """An answer over TLS; the certificate is checked against the name."""
        context = ssl.create_default_context()
        if name is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_verify_locations(self.folder / f"{name}.pem")
        request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
        with (
            self.connect("https") as plain,
            context.wrap_socket(plain, server_hostname=name) as one,
        ):
            one.sendall(request.encode())
            return body(everything(one))

    def certificate(self, name: str) -> Path:
        path = self.folder / f"{name}.pem"
        path.write_bytes(self_signed(name))
        return path


def everything(one: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        while more := one.recv(65536):
            data += more
    return data


def body(answer: bytes) -> str:
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), answer
    return rest.decode()


def self_signed(name: str) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(private, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM) + private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.fixture
def stopped() -> Iterator[Haproxy]:
    """A router that has not been started."""
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        pytest.skip("HAProxy is not installed")
    # A socket's path is short, and pytest's folders are not.
    folder = Path(tempfile.mkdtemp(prefix="hostel-router-", dir="/tmp"))
    listen = RouterPorts(ports.free_port(), ports.free_port(), ("127.0.0.1", "::1"))
    if not ports.usable("::1"):
        listen = RouterPorts(listen.http, listen.https, ("127.0.0.1",))
    made = Haproxy(Path(found), folder, listen, RouterPaths(folder / "etc", folder / "sock"))
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


@pytest.fixture
def router(stopped: Haproxy) -> Haproxy:
    """A running router without any site."""
    stopped.start()
    return stopped


@pytest.fixture
def instance() -> Iterator[InstanceMaker]:
    maker = InstanceMaker()
    yield maker
    for one in maker.made:
        one.release.set()
        one.close()


@dataclass
class InstanceMaker:
    made: list[Instance] = field(default_factory=list)

    def __call__(self, label: str, certificate: Path | None = None) -> Instance:
        self.made.append(Instance(label, certificate))
        return self.made[-1]
