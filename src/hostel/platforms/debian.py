"""The places of a Debian or Ubuntu server and of each site on it, as data. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hostel.unix_names import user_of

PACKAGES = (
    "apache2-bin",
    "apache2-dev",
    "apache2-utils",
    "ca-certificates",
    "gcc",
    "haproxy",
    "libc6-dev",
    "procps",
    "python3-dev",
    "python3-venv",
)
"""What a server needs from apt: httpd, what builds mod_wsgi for it, and the router."""

HTTPD = Path("/usr/sbin/apache2")
HAPROXY = Path("/usr/sbin/haproxy")
ROTATELOGS = Path("/usr/bin/rotatelogs")

THREADS = 48
"""In each process of a site that does not say how many; see docs/decisions/0005."""

KEEPALIVE_SECONDS = 5
"""For how long an instance holds an idle connection."""

DRAIN_SECONDS = 25
"""For how long a drain leaves connections to end by themselves, before it has httpd end them.

HTTP/1.1 is told with each answer, and HTTP/2 when it was idle for KEEPALIVE_SECONDS. Who speaks
HTTP/2 without a pause is told by httpd's graceful-stop. That is safe but for requests that are on
their way at that very moment: then mod_http2 (2.0.42) drops the connection with all that is in
flight on it. Nobody should be left by then but those who never pause.
"""

INSTANCES = "127.72.0.1"
"""The loopback address on which instances listen, and which no unit of a site can connect to."""

FIRST_PORT, LAST_PORT = 21000, 29999
"""Loopback ports of instances: below the range from which the kernel takes ports by itself."""

KEPT_GENERATIONS = 5
"""How many generations a site keeps to roll back to, the live one included."""


@dataclass(frozen=True)
class ServerPlaces:
    """The places of the machine as a whole."""

    etc: Path = Path("/etc/hostel")
    srv: Path = Path("/srv/hostel")
    var: Path = Path("/var/lib/hostel")
    run: Path = Path("/run/hostel")
    log: Path = Path("/var/log/hostel")
    units: Path = Path("/etc/systemd/system")
    tmpfiles: Path = Path("/etc/tmpfiles.d/hostel.conf")

    @property
    def machine_file(self) -> Path:
        return self.etc / "machine.toml"

    @property
    def router(self) -> Path:
        return self.etc / "router"

    @property
    def cache(self) -> Path:
        return self.var / "cache"

    @property
    def authority(self) -> Path:
        return self.var / "ca"

    @property
    def sites(self) -> Path:
        """A folder for each site with what Hostel remembers of it."""
        return self.var / "sites"

    @property
    def boot(self) -> Path:
        """The launcher, which sites' users run."""
        return self.var / "boot"

    @property
    def journal(self) -> Path:
        return self.var / "journal"

    @property
    def ledger(self) -> Path:
        return self.var / "ledger.json"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    def site(self, name: str) -> SitePlaces:
        return SitePlaces(self, name)


@dataclass(frozen=True)
class SitePlaces:
    """The places of one site. Generations are counted from 1."""

    server: ServerPlaces
    name: str

    @property
    def user(self) -> str:
        return user_of(self.name)

    @property
    def home(self) -> Path:
        return self.server.srv / self.name

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def venvs(self) -> Path:
        return self.home / "venvs"

    @property
    def generations(self) -> Path:
        return self.home / "generations"

    @property
    def certificates(self) -> Path:
        return self.home / "certificates"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.server.log / self.name

    @property
    def records(self) -> Path:
        return self.server.sites / self.name

    @property
    def record(self) -> Path:
        """Says which generation is live."""
        return self.records / "site.json"

    @property
    def done(self) -> Path:
        return self.records / "done"

    @property
    def store(self) -> Path:
        return self.server.etc / "sites" / self.name / "env.json"

    def generation(self, number: int) -> Path:
        return self.generations / str(number)

    def generation_record(self, number: int) -> Path:
        return self.records / "generations" / f"{number}.json"

    def run(self, number: int) -> Path:
        return self.server.run / f"{self.name}-{number}"

    def unit(self, number: int) -> str:
        return f"hostel-instance@{self.name}-{number}.service"

    def dropin(self, number: int) -> Path:
        return self.server.units / f"{self.unit(number)}.d" / "site.conf"

    def certificate(self, edition: int) -> Path:
        return self.certificates / f"{edition}.pem"

    def in_project(self, text: str) -> str:
        """The text with paths in a release's copy of the code as they are in the project."""
        return re.sub(re.escape(f"{self.releases}/") + r"[0-9a-f]+/code/", "", text)
