"""Routes as a kind of resource: what was enacted is observed, in the files and in what runs."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hostel import haproxy, processes
from hostel.errors import HostelError
from hostel.journal import decode, encode
from hostel.plan import Change
from hostel.resources.route import Routes, RouteState, route_key

SWITCHES = 50
BLOG = RouteState(names=("blog.example",), http="127.0.0.1:21000", https="127.0.0.1:21001")
SHOP = RouteState(names=("shop.example",), http="127.0.0.1:21002", https="")


@dataclass
class Load:
    """Clients that open new connections without a pause, and remember each that went wrong.

    Wrong is no answer, and an answer by an older instance than was live when it was asked for.
    """

    router: Any
    clients: int = 4
    newest: int = 0
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.over = threading.Event()
        self.served = [0] * self.clients

    def __enter__(self) -> Load:
        self.threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(self.clients)
        ]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def pass_by(self, each: int = 2) -> None:
        """Let every client end what it does and do `each` requests, the last begun after now."""
        wanted = [count + each for count in self.served]
        assert processes.wait(
            lambda: all(now >= then for now, then in zip(self.served, wanted, strict=True)), 120
        ), "no answers"

    def _run(self, client: int) -> None:
        while not self.over.is_set():
            newest = self.newest
            try:
                label = int(self.router.get("blog.example").split()[0])
                assert label >= newest, f"{label} answered, {newest} was live"
            except (OSError, AssertionError, ValueError) as error:
                self.lost.append(repr(error))
            self.served[client] += 1


def test_a_switch_under_load_loses_no_connection(router: Any, instance: Any) -> None:
    """The old instance listens no more as soon as what it was given is answered."""
    old = instance("0")
    router.route("blog", list(BLOG.names), old.address)
    with Load(router) as load:
        for number in range(1, SWITCHES + 1):
            load.pass_by(4)
            new = instance(str(number))
            router.route("blog", list(BLOG.names), new.address)
            load.newest = number
            load.pass_by()
            old.close()
            old = new
    assert load.lost == []
    assert sum(load.served) >= SWITCHES * 6 * load.clients
    assert router.reloads == 1, "only the new name needed one"
    print(f"{sum(load.served)} connections through {SWITCHES} switches, none lost")


def test_reloads_under_load_lose_no_connection(router: Any, instance: Any) -> None:
    router.route("blog", list(BLOG.names), instance("0").address)
    with Load(router) as load:
        for number in range(10):
            load.pass_by(5)
            router.route(f"site-{number}", [f"s{number}.example"], "127.0.0.1:1")
    assert load.lost == []
    assert router.reloads == 11
    print(f"{sum(load.served)} connections through 10 reloads, none lost")


def test_a_long_request_outlives_a_reload_and_a_switch(router: Any, instance: Any) -> None:
    old, new = instance("old"), instance("new")
    router.route("blog", list(BLOG.names), old.address)
    answers: list[str] = []
    waiting = threading.Thread(target=lambda: answers.append(router.get("blog.example", "/hold")))
    waiting.start()
    assert old.held.wait(60)
    router.enact("shop", SHOP)
    router.route("blog", list(BLOG.names), new.address)
    assert router.reloads == 2
    assert router.get("blog.example") == "new 127.0.0.1 /"
    assert answers == []
    old.release.set()
    waiting.join()
    assert answers == ["old 127.0.0.1 /hold"]


def test_who_waits_for_an_instance_that_is_down_is_served_by_the_next_one(
    router: Any, instance: Any
) -> None:
    dead, new = instance("dead"), instance("new")
    dead.close()
    router.route("blog", list(BLOG.names), dead.address)
    answers: list[str] = []
    waiting = threading.Thread(target=lambda: answers.append(router.get("blog.example")))
    waiting.start()
    time.sleep(0.5)  # The longer it waits, the likelier a router that gives up is caught.
    router.route("blog", list(BLOG.names), new.address)
    waiting.join()
    assert answers == ["new 127.0.0.1 /"]


def test_a_restarted_router_comes_up_with_the_last_switch(router: Any, instance: Any) -> None:
    old, new = instance("old"), instance("new")
    router.route("blog", list(BLOG.names), old.address)
    wanted = router.route("blog", list(BLOG.names), new.address).after
    router.stop()
    assert router.seen("blog") == wanted
    router.start()
    assert router.seen("blog") == wanted
    assert router.get("blog.example").startswith("new ")


# -- observe, enact, observe --------------------------------------------------------------------


@pytest.mark.parametrize("runs", [True, False])
def test_a_route_is_made_seen_changed_and_removed_and_each_may_be_repeated(
    stopped: Any, runs: bool
) -> None:
    if runs:
        stopped.start()
    moved = replace(BLOG, http="[::1]:22000")
    renamed = replace(moved, names=("blog.example", "new.example"), https="")
    assert stopped.seen("blog") is None
    stopped.enact("shop", SHOP)
    for state in (BLOG, moved, renamed, None, BLOG):
        change = stopped.enact("blog", state)
        stopped.routes.enact(change, stopped.machine)
        assert stopped.seen("blog") == state
        stopped.routes.enact(change.reverse, stopped.machine)
        stopped.routes.enact(change.reverse, stopped.machine)
        assert stopped.seen("blog") == change.before
        stopped.routes.enact(change, stopped.machine)
        assert stopped.seen("shop") == SHOP


def test_a_second_run_writes_nothing_and_reloads_nothing(router: Any) -> None:
    router.enact("blog", BLOG)
    before = {path: path.stat().st_ino for path in router.paths.folder.iterdir()}
    router.enact("blog", BLOG)
    router.routes.settle(router.machine)
    assert {path: path.stat().st_ino for path in router.paths.folder.iterdir()} == before
    assert router.reloads == 1


def test_a_route_comes_back_from_the_journal_as_it_was() -> None:
    assert decode(RouteState, encode(BLOG)) == BLOG


@pytest.mark.parametrize("file", [haproxy.CONFIG, haproxy.HTTP_MAP, haproxy.HTTPS_MAP])
@pytest.mark.parametrize("gone", [True, False])
def test_an_edit_by_hand_is_seen_and_repaired(router: Any, file: str, gone: bool) -> None:
    router.enact("blog", BLOG)
    good, path = router.files(), router.paths.folder / file
    path.unlink() if gone else path.write_bytes(path.read_bytes() + b"# mine\n")
    seen = router.seen("blog")
    assert seen == replace(BLOG, wrong=f"{file} is not what Hostel made")
    router.enact("blog", BLOG)
    assert router.files() == good


def test_a_switch_by_hand_in_the_running_router_is_seen_and_repaired(router: Any) -> None:
    router.enact("blog", BLOG)
    router.routes.router.point({"https:blog": "127.0.0.1:29999"})
    assert router.seen("blog") == replace(BLOG, https="127.0.0.1:29999")
    router.enact("blog", BLOG)
    assert router.reloads == 1


def test_a_router_that_did_not_load_its_files_is_seen_and_repaired(router: Any) -> None:
    """As a run leaves it that was killed between writing and reloading, in both directions."""
    silent = Routes(router.binary, router.ports, router.paths, lambda: None, patience=0.3)
    router.enact("blog", BLOG)
    with pytest.raises(HostelError, match="still runs with what it had loaded before"):
        silent.enact(Change(route_key("shop"), None, SHOP), router.machine)
    seen = router.seen("shop")
    assert seen == replace(SHOP, wrong="the running router has loaded another configuration")
    router.enact("shop", SHOP)
    with pytest.raises(HostelError, match="still runs"):
        silent.enact(Change(route_key("shop"), SHOP, None), router.machine)
    left = router.seen("shop")
    assert left is not None
    assert left.names == ()
    assert left.http == SHOP.http
    router.enact("shop", None)
    assert router.seen("blog") == BLOG


def test_a_failed_reload_is_undone_without_another(router: Any) -> None:
    silent = Routes(router.binary, router.ports, router.paths, lambda: None, patience=0.3)
    router.enact("blog", BLOG)
    files = router.files()
    change = Change(route_key("shop"), None, SHOP)
    with pytest.raises(HostelError):
        silent.enact(change, router.machine)
    for _ in range(2):
        silent.enact(change.reverse, router.machine)
        assert router.seen("shop") is None
        assert router.seen("blog") == BLOG
        assert router.files() == files


# -- refusals -----------------------------------------------------------------------------------


def refused(router: Any, routes: Routes, site: str, state: RouteState) -> HostelError:
    """The error; nothing was changed, and the router runs as before."""
    before, blog = router.files(), router.seen("blog")
    with pytest.raises(HostelError) as caught:
        routes.enact(Change(route_key(site), None, state), router.machine)
    assert router.files() == before
    assert router.seen("blog") == blog
    return caught.value


def test_a_configuration_that_haproxy_refuses_changes_nothing(router: Any) -> None:
    router.enact("blog", BLOG)
    paths = replace(router.paths, socket=Path("/tmp") / ("x" * 200))
    bad = Routes(router.binary, router.ports, paths, router.reload)
    error = refused(router, bad, "shop", SHOP)
    assert "socket path" in error.happened, "HAProxy's own line"
    assert "haproxy.cfg" in error.detail
    assert router.reloads == 1


def test_a_router_that_is_not_installed_is_told(router: Any) -> None:
    router.enact("blog", BLOG)
    bad = Routes(Path("/nowhere/haproxy"), router.ports, router.paths, router.reload)
    error = refused(router, bad, "shop", SHOP)
    assert "no program /nowhere/haproxy" in error.happened
    assert "apt-get install haproxy" in error.remedy


def test_a_name_that_another_site_has_is_refused_with_that_sites_name(router: Any) -> None:
    router.enact("blog", BLOG)
    error = refused(router, router.routes, "shop", replace(SHOP, names=("blog.example",)))
    assert error.doing == "routing blog.example"
    assert "blog has this name already, shop wants it too" in error.happened
    first = refused(router, router.routes, "a", replace(SHOP, names=("blog.example",)))
    assert "blog has this name already, a wants it too" in first.happened


@pytest.mark.parametrize(
    "state",
    [replace(SHOP, names=("a b",)), replace(SHOP, http="x"), replace(SHOP, names=("a\nb c",))],
)
def test_what_cannot_be_routed_is_refused(router: Any, state: RouteState) -> None:
    router.enact("blog", BLOG)
    assert "cannot be routed" in refused(router, router.routes, "shop", state).happened


def test_an_address_that_the_machine_lacks_is_told_before_anything_happens(router: Any) -> None:
    router.enact("blog", BLOG)
    ports = replace(router.ports, addresses=("192.0.2.1",))
    bad = Routes(router.binary, ports, router.paths, router.reload)
    error = refused(router, bad, "shop", SHOP)
    assert "no address 192.0.2.1" in error.happened
    assert "machine.toml" in error.remedy


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"version": 1}', None])
def test_a_damaged_list_of_routes_is_never_taken_for_an_empty_one(
    router: Any, content: bytes | None
) -> None:
    """The other sites would go dark with the next run of any."""
    router.enact("blog", BLOG)
    router.paths.routes.unlink()
    if content is not None:
        router.paths.routes.write_bytes(content)
    before = router.files()
    for act in (
        lambda: router.seen("blog"),
        lambda: router.routes.enact(Change(route_key("shop"), None, SHOP), router.machine),
        lambda: router.routes.settle(router.machine),
    ):
        with pytest.raises(HostelError, match=r"routes\.json") as caught:
            act()
        assert "copy" in caught.value.remedy
    assert router.files() == before


def test_a_socket_that_answers_something_else_is_told(stopped: Any) -> None:
    import socket

    stopped.enact("blog", BLOG)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(stopped.paths.socket))
        server.listen()

        def nonsense() -> None:
            with contextlib.suppress(OSError):
                one, _ = server.accept()
                with one:
                    one.recv(100)
                    one.sendall(b"what?\n")

        threading.Thread(target=nonsense, daemon=True).start()
        with pytest.raises(HostelError, match="not understood"):
            stopped.seen("blog")
    assert stopped.seen("blog") == BLOG, "a socket that nobody listens on is a stopped router"
