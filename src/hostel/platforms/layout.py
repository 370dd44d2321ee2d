"""The places of one site on the private platform, as data. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The places of one site, all below `state` but the run folder with its sockets."""

    state: Path
    run: Path

    @property
    def instance(self) -> Path:
        return self.state / "instance"

    @property
    def conf(self) -> Path:
        return self.instance / "httpd.conf"

    @property
    def record(self) -> Path:
        return self.state / "instance.json"

    @property
    def site_record(self) -> Path:
        return self.state / "site.json"

    @property
    def log(self) -> Path:
        return self.state / "log"

    @property
    def access_log(self) -> Path:
        return self.log / "access.log"

    @property
    def error_log(self) -> Path:
        return self.log / "error.log"

    @property
    def console(self) -> Path:
        return self.log / "httpd.log"

    @property
    def postgres_log(self) -> Path:
        return self.log / "postgres.log"

    @property
    def data(self) -> Path:
        return self.state / "data"

    @property
    def cluster(self) -> Path:
        return self.state / "postgres" / "data"

    @property
    def releases(self) -> Path:
        return self.state / "releases"

    @property
    def venvs(self) -> Path:
        return self.state / "venvs"

    @property
    def done(self) -> Path:
        return self.state / "done"

    @property
    def journal(self) -> Path:
        return self.state / "journal"

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Those that must be there before anything else; not the app's to write in."""
        postgres = self.cluster.parent
        return (self.instance, self.log, self.releases, self.venvs, self.done, postgres)

    def in_project(self, text: str) -> str:
        """The text with paths in a release's copy of the code as they are in the project."""
        return re.sub(re.escape(f"{self.releases}/") + r"[0-9a-f]+/code/", "", text)
