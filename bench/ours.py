"""Hostel as a user runs it: a copy of a site, `hostel up --detach`, `hostel down`."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Failed, free_port, run, trouble

ROOT = Path(__file__).resolve().parent.parent
HOSTEL = ROOT / ".venv" / "bin" / "hostel"
HELLO = ROOT / "bench" / "hello"
GUESTBOOK = ROOT / "examples" / "guestbook"
PLAIN = '\n[tls]\nmode = "off"\n'


@dataclass(frozen=True)
class OurSite:
    """A copy of a site with the ports and the state folder that it always gets."""

    folder: Path
    state: Path
    http: int
    https: int
    tls: bool

    @classmethod
    def copied(cls, source: Path, work: Path, name: str, *, tls: bool, more: str = "") -> OurSite:
        """A copy of `source`, over HTTPS or without, with more lines for its site file."""
        folder, state = work / "sites" / name, work / "state"
        state.mkdir(exist_ok=True)
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        said = (folder / "hostel.toml").read_text().partition("\n[tls]")[0]
        text = said + more + ("" if tls else PLAIN)
        (folder / "hostel.toml").write_text(text)
        return cls(folder, state / name, free_port(), free_port(), tls)

    @property
    def url(self) -> str:
        port = self.https if self.tls else self.http
        return f"http{'s' if self.tls else ''}://127.0.0.1:{port}/"

    def up(self) -> None:
        """Return at the first 200 after `hostel up --detach`. Raises Failed."""
        ports = ("--http", str(self.http), "--https", str(self.https))
        run([HOSTEL, "up", self.folder, "--detach", *ports, "--dir", self.state], 300)
        if why := trouble(self.url):
            raise Failed(f"{self.url} does not answer with 200: {why}")

    def down(self) -> None:
        run([HOSTEL, "down", self.folder, "--dir", self.state])

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        try:
            self.up()
            yield self.url
        except BaseException:
            with contextlib.suppress(Failed):  # the first error is the one to be seen
                self.down()
            raise
        self.down()

    @property
    def pid(self) -> int:
        """httpd's first process."""
        text = run([HOSTEL, "status", self.folder, "--dir", self.state, "--json"])
        pid: int = json.loads(text)["sites"][0]["pid"]
        return pid

    @property
    def environment(self) -> dict[str, str]:
        """What the running app has in its environment for its database."""
        boots = (self.state / "instance").glob("*/boot.json")
        latest = max(boots, key=lambda path: path.stat().st_mtime)
        env: dict[str, str] = json.loads(latest.read_text())["env"]
        return {key: env[key] for key in env if key == "DATABASE_URL" or key.startswith("PG")}
