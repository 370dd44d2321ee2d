"""Routes: which names the router passes to which addresses, in its files and as it runs.

routes.json is what was decided; haproxy.cfg and its maps are made from it, and the running router
must have loaded them. All three are looked at, and all three are put right together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hostel import haproxy, router
from hostel.errors import HostelError
from hostel.haproxy import Route, RouterPaths, RouterPorts, Unroutable
from hostel.machine import Machine
from hostel.plan import Change, Key, State, key, name_of
from hostel.ports import usable
from hostel.router import PATIENCE, Router, Running


@dataclass(frozen=True, kw_only=True)
class RouteState(State):
    """Where the names of a site lead. `wrong` says what is not as Hostel makes it; wanted is ""."""

    names: tuple[str, ...]
    http: str
    https: str
    wrong: str = ""


@dataclass(frozen=True)
class Seen:
    """What files and router said at one moment; `wrong` as in RouteState."""

    routes: Mapping[str, Route]
    running: Running | None
    wrong: str

    def state(self, site: str) -> RouteState | None:
        running, route = self.running, self.routes.get(site)
        if route is None:
            return _left_over(site, running)
        http, https = route.http, route.https
        if running is not None:
            # A backend that it has not loaded is told by the digest.
            http = running.addresses.get(f"http:{site}", http)
            https = running.addresses.get(f"https:{site}", https)
        return RouteState(names=route.names, http=http, https=https, wrong=self.wrong)


def route_key(site: str) -> Key:
    return key("route", site)


class Routes:
    """The routes of all sites of this machine.

    `reload` makes the running router read its files again, and returns when it was told so.
    """

    def __init__(
        self,
        binary: Path,
        ports: RouterPorts,
        paths: RouterPaths,
        reload: Callable[[], None],
        patience: float = PATIENCE,
    ) -> None:
        self.binary = binary
        # Whoever has no IPv6 wants it no less when the machine gets it: only the default yields.
        found = tuple(one for one in ports.addresses if one != "::" or usable(one))
        self.ports = replace(ports, addresses=found)
        self.paths = paths
        self.reload = reload
        self.router = Router(paths.socket, patience)

    def observe(self, which: Key, machine: Machine) -> RouteState | None:
        """The route as the files have it, or as the running router has it where they differ."""
        return self.look(machine).state(name_of(which))

    def look(self, machine: Machine) -> Seen:
        """What files and router say of all routes at this moment."""
        routes, running = self._routes(machine), self.router.running()
        return Seen(routes, running, self.drift(machine) or self._stale(routes, running))

    def enact(self, change: Change, machine: Machine) -> None:
        site = name_of(change.key)
        routes = self._routes(machine)
        routes.pop(site, None)
        state = change.after
        if isinstance(state, RouteState) and state.names:  # None are the left-over of a removal.
            routes[site] = Route(site, state.names, state.http, state.https)
        self._settle(routes, machine)

    def settle(self, machine: Machine) -> None:
        """Make the router's files what routes.json says, and the running router what they say.

        Without any route too: this is how the files come to be before the router's first start.
        """
        self._settle(self._routes(machine), machine)

    def drift(self, machine: Machine) -> str:
        """What is wrong with the files beside routes.json, "" if nothing is."""
        routes = self._routes(machine)
        for file, text in haproxy.texts(routes.values(), self.ports, self.paths).items():
            if machine.read(self.paths.folder / file) != text.encode():
                return f"{file} is not what Hostel made"
        return ""

    # -- within ---------------------------------------------------------------------------------

    def _settle(self, routes: Mapping[str, Route], machine: Machine) -> None:
        self._refuse_clash(routes)
        self._refuse_foreign_addresses()
        listed = list(routes.values())
        try:
            made = haproxy.texts(listed, self.ports, self.paths)
        except Unroutable as error:
            raise HostelError("making the router's configuration", str(error)) from None
        router.check(self.binary, listed, self.ports, self.paths, machine)
        if not self.paths.folder.is_dir():
            machine.make_folder(self.paths.folder, 0o755)
        # The routes first: whatever a kill leaves of the rest is seen not to belong to them. A
        # router that starts in between refuses the names on which files differ, no others.
        for file, text in {haproxy.ROUTES: haproxy.to_json(listed), **made}.items():
            path = self.paths.folder / file
            if machine.read(path) != text.encode():
                machine.write(path, text.encode(), 0o644)
        self._make_live(routes)

    def _make_live(self, routes: Mapping[str, Route]) -> None:
        running = self.router.running()
        if running is None:
            return
        digest = self._digest(routes)
        if running.digest != digest:
            self.reload()
            self.router.await_structure(digest)
            return
        elsewhere = {
            backend: address
            for route in routes.values()
            for backend, address in route.backends().items()
            if running.addresses.get(backend) != address
        }
        if elsewhere:
            self.router.point(elsewhere)

    def _stale(self, routes: Mapping[str, Route], running: Running | None) -> str:
        if running is None or running.digest == self._digest(routes):
            return ""
        return "the running router has loaded another configuration"

    def _digest(self, routes: Mapping[str, Route]) -> str:
        return haproxy.structure(routes.values(), self.ports, self.paths)

    def _routes(self, machine: Machine) -> dict[str, Route]:
        """What routes.json says, by site. Never guesses: sites that it forgets would go dark."""
        text = machine.read(self.paths.routes)
        try:
            if text is None:
                if machine.read(self.paths.config) is not None:
                    raise ValueError(f"it is gone, but {haproxy.CONFIG} is not")
                return {}
            return {route.name: route for route in haproxy.from_json(text.decode())}
        except ValueError as error:
            raise HostelError(
                f"reading {self.paths.routes}",
                str(error),
                "Put it back from a copy. Without one, remove the whole folder and run "
                "`hostel apply` for each site: until then the router goes on as it is.",
            ) from None

    @staticmethod
    def _refuse_clash(routes: Mapping[str, Route]) -> None:
        found = haproxy.clash(routes.values())
        if found is not None:
            raise HostelError(
                f"routing {found.host}",
                f"the site {found.first} has this name already, {found.second} wants it too",
                "Take it out of domains in one of them; run `hostel apply` there first.",
            )

    def _refuse_foreign_addresses(self) -> None:
        for address in self.ports.addresses:
            if not usable(address):
                raise HostelError(
                    "making the router's configuration",
                    f"this machine has no address {address}",
                    "Correct [router] addresses in machine.toml; `ip address` shows which exist.",
                )


class RememberedRoutes:
    """Routes that are looked at once for all sites, until one is changed here or `forget`."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self._seen: Seen | None = None

    def forget(self) -> None:
        self._seen = None

    def observe(self, which: Key, machine: Machine) -> RouteState | None:
        if self._seen is None:
            self._seen = self.routes.look(machine)
        return self._seen.state(name_of(which))

    def enact(self, change: Change, machine: Machine) -> None:
        self.forget()
        try:
            self.routes.enact(change, machine)
        finally:
            self.forget()


def _left_over(site: str, running: Running | None) -> RouteState | None:
    """A route that the files have no more, as long as the router passes connections on by it."""
    loaded = running.addresses if running is not None else {}
    http, https = loaded.get(f"http:{site}", ""), loaded.get(f"https:{site}", "")
    if not (http or https):
        return None
    return RouteState(names=(), http=http, https=https, wrong="the running router has it still")
