"""Whether a new instance is fit to serve, found out before and after anybody is led to it.

Asks and watches only. What is wrong is said with the app's own lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hostel.errors import HostelError
from hostel.platforms.debian import INSTANCES
from hostel.processes import wait
from hostel.server.host import Host, error_log
from hostel.server.setting import Setting, conf
from hostel.server.steady import Processes
from hostel.systemctl import Systemctl
from hostel.verify import Front, Patience, is_live, unwell, verify

Others = Callable[[str], bool]

PATIENCE_SECONDS = 60.0

AGAIN_SECONDS = 10.0
"""For the second question, to an instance that has answered once."""


@dataclass(frozen=True)
class Probe:
    """A new instance of a site. What it logs comes after `began` bytes of the error log `log`."""

    setting: Setting
    host: Host
    log: Path
    began: int

    @classmethod
    def of(cls, setting: Setting, host: Host) -> Probe:
        """Made before the instance is started."""
        log = error_log(setting.places.log)
        return cls(setting, host, log, log.stat().st_size if log.exists() else 0)

    def is_fit(self, *, known: bool) -> tuple[str, ...]:
        """Raise HostelError unless it is; returns notes for people.

        What is `known` from an earlier time as good is not watched: it shall be back soon.
        """
        health = self.setting.site.health
        patience = Patience(health.path, health.timeout, "path" in health.model_fields_set)
        notes = (self._answers(patience), self._all_serve())
        if not known:
            ended = self._processes.ended()
            if ended:
                raise self._ended(ended)
            self._answers(replace(patience, timeout=min(patience.timeout, AGAIN_SECONDS)))
        return notes

    def _ended(self, how: str) -> HostelError:
        doing = f"watching {self.setting.site.name} for a moment after its start"
        error = unwell(doing, how, *self._said)
        if not error.detail:
            error.remedy = (
                "It logged nothing. Look for what ends a process: os._exit, a signal, an extension "
                "module that crashes."
            )
        return error

    def _answers(self, patience: Patience) -> str:
        front = front_of(self.setting, self.host, direct=True)
        main = self._processes.main
        first = main()

        def alive() -> bool:
            return first is not None and main() == first

        try:
            return verify(self.setting.site.name, patience, front, alive, *self._said)
        except HostelError as error:
            if not alive():
                error.happened = "it ended before it answered"
            raise

    def _all_serve(self) -> str:
        """Wait until every process has loaded the app; returns a note, or "".

        The first one alone would be given all connections at the switch, more than it has
        threads, and httpd closes what it has no thread for.
        """
        setting, loaded = self.setting, "loaded-*"
        run = setting.places.run(setting.number)
        if wait(lambda: len([*run.glob(loaded)]) >= setting.processes, setting.site.health.timeout):
            return ""
        return f"only {len([*run.glob(loaded)])} of {setting.processes} processes serve so far"

    @property
    def _processes(self) -> Processes:
        systemd = Systemctl(self.host.machine)
        return Processes(lambda: systemd.main_pid(self.setting.unit))

    @property
    def _said(self) -> tuple[Path, int, Others]:
        return self.log, self.began, self._processes.are_not


def answers_through_router(setting: Setting, host: Host) -> None:
    """Wait until the router leads to this generation; raises HostelError if it never does."""
    front, mark = front_of(setting, host, direct=False), conf(setting)[1]
    if not wait(lambda: is_live(front, mark), PATIENCE_SECONDS, 0.02):
        raise HostelError(
            f"asking for {front.host} through the router",
            "the new generation did not answer there",
            "See how the router is: systemctl status hostel-router",
        )


def front_of(setting: Setting, host: Host, *, direct: bool) -> Front:
    """Where the site is asked: through the router, or its instance itself."""
    secure = bool(setting.certificate)
    ports = setting.ports if direct else host.ports
    port = ports.https if secure else ports.http
    authority = host.authority if secure else None
    address = INSTANCES if direct else host.ports.reached
    return Front(address, port, setting.names[0], authority, proxied=direct)
