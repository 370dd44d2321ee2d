"""The router's files as a whole: there before the router starts, and of the right ports.

Which site is routed where is `hostel.resources.route`.
"""

from __future__ import annotations

from dataclasses import dataclass

from hostel.machine import Machine
from hostel.plan import Change, Key, State, key
from hostel.resources.route import Routes


@dataclass(frozen=True, kw_only=True)
class RouterFilesState(State):
    """The router's configuration for these ports. `wrong` says what is not as Hostel makes it."""

    http: int
    https: int
    wrong: str = ""


def router_key() -> Key:
    return key("router", "files")


class RouterFiles:
    """The files of the one router of a server."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes

    def observe(self, which: Key, machine: Machine) -> RouterFilesState | None:
        if machine.read(self.routes.paths.config) is None:
            return None
        ports = self.routes.ports
        return RouterFilesState(
            http=ports.http, https=ports.https, wrong=self.routes.drift(machine)
        )

    def enact(self, change: Change, machine: Machine) -> None:
        if isinstance(change.after, RouterFilesState):
            self.routes.settle(machine)
            return
        for path in self.routes.paths.folder.glob("*"):
            machine.remove(path)
