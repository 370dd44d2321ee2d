"""What an instance is: the whole web server of one release, as decided. Pure data.

Knows nothing of how httpd is told; see `instance_conf`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROBE_AGENT = "hostel-probe"
"""User-Agent of Hostel's own requests; they stay out of the access log."""

MARKER = "/.well-known/hostel/"
"""Below it each generation answers 204 at its own name, so that a switch can be seen."""


@dataclass(frozen=True)
class StaticFolder:
    """A URL prefix without its closing slash, and the folder below it."""

    prefix: str
    folder: Path


@dataclass(frozen=True)
class Behind:
    """A router in front: it passes connections on with the PROXY protocol, and these are the
    ports that visitors see.
    """

    http: int
    https: int


@dataclass(frozen=True)
class Instance:
    """All that an instance's configuration depends on. Times in seconds, sizes in bytes."""

    name: str
    modules_dir: Path
    builtin: frozenset[str]
    mod_wsgi: Path
    venv: Path
    script: Path
    run: Path
    log: Path
    drain_flag: Path
    generation: str
    addresses: tuple[str, ...]
    http_port: int
    https_port: int
    certificate: Path | None
    domains: tuple[str, ...]
    any_name: bool
    processes: int
    threads: int
    request_timeout: int
    max_body: int
    static: tuple[StaticFolder, ...]
    keepalive: int = 15
    rotatelogs: Path | None = None
    behind: Behind | None = None

    @property
    def public_port(self) -> int:
        """The port of the site's own addresses, as visitors see it."""
        if self.behind is not None:
            return self.behind.https if self.certificate else self.behind.http
        return self.https_port if self.certificate else self.http_port
