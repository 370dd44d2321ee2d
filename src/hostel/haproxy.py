"""The router's configuration: routes in, the texts that HAProxy reads out. Pure.

Holds the only function through which anything gets into those texts. It knows nothing of a
running router: that is `hostel.router`, and `hostel.resources.route` brings the two together.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from hostel.haproxy_template import TEMPLATE

CONFIG = "haproxy.cfg"
HTTP_MAP = "http.map"
HTTPS_MAP = "https.map"
ROUTES = "routes.json"

SERVER = "live"
"""The one server of each backend."""

_SITE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_HOST = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
)
_PATH = re.compile(r"/[A-Za-z0-9._/:+-]{1,254}")
_ADDRESS = re.compile(r"([0-9.]{7,15}|\[[0-9a-f:.]{2,45}\]):([1-9][0-9]{0,4})")
_NO_DIGEST = "0" * 16


class Unroutable(ValueError):
    """Something that must not get into the router's configuration, such as a name with a space."""


@dataclass(frozen=True)
class Route:
    """A site as the router sees it. An address is "127.0.0.1:21000", "" without such a port."""

    name: str
    names: tuple[str, ...]
    http: str
    https: str

    def backends(self) -> dict[str, str]:
        """The addresses by the names under which HAProxy knows them."""
        both = {f"http:{self.name}": self.http, f"https:{self.name}": self.https}
        return {backend: address for backend, address in both.items() if address}


@dataclass(frozen=True)
class RouterPorts:
    """What the router listens on. IPv4 and IPv6 apart: so a client's IPv4 address stays one.

    `behind` says that another server has ports 80 and 443 and passes on what comes there.
    """

    http: int = 80
    https: int = 443
    addresses: tuple[str, ...] = ("0.0.0.0", "::")
    behind: bool = False

    @property
    def public(self) -> tuple[int, int]:
        """The ports, for HTTP and HTTPS, by which visitors come."""
        return (80, 443) if self.behind else (self.http, self.https)

    @property
    def reached(self) -> str:
        """An address by which this machine itself reaches the router."""
        local = {"0.0.0.0", "127.0.0.1"} & {*self.addresses}
        return self.addresses[0] if self.addresses and not local else "127.0.0.1"


@dataclass(frozen=True)
class RouterPaths:
    """The folder of the router's files, and where its admin socket is."""

    folder: Path = Path("/etc/hostel/router")
    socket: Path = Path("/run/hostel-router/router.sock")

    @property
    def config(self) -> Path:
        return self.folder / CONFIG

    @property
    def routes(self) -> Path:
        return self.folder / ROUTES


@dataclass(frozen=True)
class Clash:
    """A name that two sites claim."""

    host: str
    first: str
    second: str


def clash(routes: Iterable[Route]) -> Clash | None:
    """The first name that more than one site claims."""
    owners: dict[str, str] = {}
    for route in routes:
        for host in route.names:
            owner = owners.setdefault(host, route.name)
            if owner != route.name:
                return Clash(host, owner, route.name)
    return None


def word(text: str, shape: re.Pattern[str]) -> str:
    """The one way into the configuration: `text` as it is, if it has that shape.

    None of the shapes admits a space, a line end, a quote, a comment sign, a bracket of an
    expression or a variable, so nothing here needs quotes, which HAProxy's maps do not know
    and its expressions read twice.
    """
    if not shape.fullmatch(text):
        raise Unroutable(f"{text[:100]!r} cannot be routed")
    return text


def host_name(text: str) -> str:
    """A name as browsers send it, in lower case and ASCII."""
    return word(text, _HOST)


def address_of(text: str) -> str:
    """A server's address, "127.0.0.1:21000" or "[::1]:21000"."""
    match = _ADDRESS.fullmatch(word(text, _ADDRESS))
    assert match is not None
    host, port = match[1].strip("[]"), int(match[2])
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise Unroutable(f"{text!r} is no address") from None
    if port > 65535:
        raise Unroutable(f"{text!r} has no port")
    return text


def structure(routes: Iterable[Route], ports: RouterPorts, paths: RouterPaths) -> str:
    """A digest of all but the servers' addresses: what takes a reload to change.

    The running router tells the one it has loaded in `show info`.
    """
    anonymous = [
        replace(
            route,
            http="127.0.0.1:1" if route.http else "",
            https="127.0.0.1:1" if route.https else "",
        )
        for route in _settled(routes)
    ]
    texts = (
        _config(anonymous, ports, paths, _NO_DIGEST),
        _map(anonymous, "http"),
        _map(anonymous, "https"),
    )
    return sha256("\0".join(texts).encode()).hexdigest()[:16]


def configuration(routes: Iterable[Route], ports: RouterPorts, paths: RouterPaths) -> str:
    """The text of haproxy.cfg. Raises Unroutable."""
    routes = list(routes)
    return _config(_settled(routes), ports, paths, structure(routes, ports, paths))


def texts(routes: Iterable[Route], ports: RouterPorts, paths: RouterPaths) -> Mapping[str, str]:
    """All that HAProxy reads, by file name; the maps come first. Raises Unroutable."""
    settled = _settled(routes)
    return {
        HTTP_MAP: _map(settled, "http"),
        HTTPS_MAP: _map(settled, "https"),
        CONFIG: configuration(settled, ports, paths),
    }


# -- routes.json --------------------------------------------------------------------------------


def to_json(routes: Iterable[Route]) -> str:
    """The text of routes.json, from which everything else is made."""
    listed = [
        {"name": one.name, "names": list(one.names), "http": one.http, "https": one.https}
        for one in _settled(routes)
    ]
    return json.dumps({"version": 1, "routes": listed}, indent=2) + "\n"


def from_json(text: str) -> list[Route]:
    """The routes of a routes.json. Raises ValueError for anything that `to_json` did not make."""
    try:
        said: Any = json.loads(text)
        routes = [
            Route(
                name=_text(one["name"]),
                names=tuple(_text(host) for host in one["names"]),
                http=_text(one["http"]),
                https=_text(one["https"]),
            )
            for one in said["routes"]
        ]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"it does not hold routes ({error})") from None
    if said.get("version") != 1:
        raise ValueError("it was made by another version of Hostel")
    return _settled(routes)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.100} is not text")
    return value


# -- within -------------------------------------------------------------------------------------


def _settled(routes: Iterable[Route]) -> list[Route]:
    """The routes by name, each value checked, no name twice. Raises Unroutable."""
    settled = sorted(routes, key=lambda route: route.name)
    for route in settled:
        word(route.name, _SITE)
        for host in route.names:
            host_name(host)
        for address in route.backends().values():
            address_of(address)
    if len({route.name for route in settled}) != len(settled):
        raise Unroutable("a site has two routes")
    twice = clash(settled)
    if twice is not None:
        raise Unroutable(f"{twice.host} is claimed by {twice.first} and {twice.second}")
    return settled


def _map(routes: Iterable[Route], scheme: str) -> str:
    pairs = {
        host: f"{scheme}:{route.name}"
        for route in routes
        for host in route.names
        if f"{scheme}:{route.name}" in route.backends()
    }
    return "".join(f"{host} {backend}\n" for host, backend in sorted(pairs.items()))


def _config(routes: Iterable[Route], ports: RouterPorts, paths: RouterPaths, digest: str) -> str:
    folder = word(str(paths.folder), _PATH)
    fill = {
        "@DIGEST@": digest,
        "@SOCKET@": word(str(paths.socket), _PATH),
        "@BIND_HTTP@": _binds(ports.addresses, ports.http),
        "@BIND_HTTPS@": _binds(ports.addresses, ports.https),
        "@HTTP_MAP@": f"{folder}/{HTTP_MAP}",
        "@HTTPS_MAP@": f"{folder}/{HTTPS_MAP}",
    }
    text = TEMPLATE
    for mark, value in fill.items():
        text = text.replace(mark, value)
    return text + "".join(
        f"\nbackend {backend}\n    server {SERVER} {address} send-proxy-v2\n"
        for route in routes
        for backend, address in route.backends().items()
    )


def _binds(addresses: Iterable[str], port: int) -> str:
    lines = []
    for address in addresses:
        if ":" in address:
            lines.append(f"    bind {address_of(f'[{address}]:{port}')} v6only")
        else:
            lines.append(f"    bind {address_of(f'{address}:{port}')}")
    if not lines:
        raise Unroutable("the router has no address to listen on")
    return "\n".join(lines)
