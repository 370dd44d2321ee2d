"""Servers for the system tests: booted Debian machines, each fresh, each removed at its test's end.

    def test_a_site_answers(server):                  a machine of the layer `ready`
        server.run(["hostel", "--version"], check=True)

`@pytest.mark.parametrize("server", ["bare"], indirect=True)` takes another layer, `machines` boots
several or others, and `shared_server` is one for all tests of a module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..conftest import cannot
from ..machines import ROOT, DebianMachine, File, Layer, bare, hostel, layer, ready, why_not
from .sites import HELLO, site_file


def applied() -> Layer:
    """ready, and one `hostel apply` of a site that says hello, at hello.example.com."""
    steps: list[File | list[str]] = [
        File("/root/hello/app.py", HELLO),
        File("/root/hello/hostel.toml", site_file("hello")),
        ["hostel", "apply", "/root/hello"],
    ]
    return layer("applied", ready(), steps, depends=[ROOT / "src"])


LAYERS: dict[str, Callable[[], Layer]] = {
    "bare": bare,
    "hostel": hostel,
    "ready": ready,
    "applied": applied,
}


class Layers:
    """Each layer looked up, or built, once in a test run, and held until its end."""

    def __init__(self) -> None:
        self._made: dict[str, Layer] = {}

    def __call__(self, wanted: str | Layer) -> Layer:
        if isinstance(wanted, Layer):
            return wanted
        if wanted not in self._made:
            self._made[wanted] = LAYERS[wanted]()
        return self._made[wanted]


class Machines:
    """Boots machines, and removes them all at the end."""

    def __init__(self, layers: Layers) -> None:
        self._layers = layers
        self.booted: list[DebianMachine] = []

    def __call__(self, layer: str | Layer = "ready", **how: Any) -> DebianMachine:
        """`how` is that of `DebianMachine.boot`: disk, name, volumes, source."""
        machine = DebianMachine.boot(self._layers(layer), **how)
        self.booted.append(machine)
        return machine

    def close(self) -> None:
        """All of them, even when one makes trouble."""
        troubles = []
        while self.booted:
            try:
                self.booted.pop().close()
            except Exception as trouble:
                troubles.append(trouble)
        if troubles:
            raise troubles[0]


@pytest.fixture(scope="session")
def layers() -> Layers:
    why = why_not()
    if why:
        cannot(why)
    return Layers()


@pytest.fixture
def machines(layers: Layers) -> Iterator[Machines]:
    all_of_them = Machines(layers)
    try:
        yield all_of_them
    finally:
        all_of_them.close()


@pytest.fixture
def server(machines: Machines, request: pytest.FixtureRequest) -> DebianMachine:
    """A fresh machine for this test alone."""
    return machines(getattr(request, "param", "ready"))


@pytest.fixture(scope="module")
def shared_server(layers: Layers, request: pytest.FixtureRequest) -> Iterator[DebianMachine]:
    """One machine for all tests of a module, which leave it as they would like to find it."""
    with DebianMachine.boot(layers(getattr(request, "param", "ready"))) as machine:
        yield machine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """With a test that failed, what its machines had to say."""
    report = yield
    if report.when == "call" and report.failed:
        for machine in _machines_of(item):
            title = f"{machine.name} at {machine.address}"
            try:
                report.sections.append((f"{title}: failed units", "\n".join(machine.failed())))
                report.sections.append((f"{title}: journal", machine.journal()))
            except Exception as error:
                report.sections.append((title, f"{error}\n{machine.console()}"))
    return report


def _machines_of(item: pytest.Item) -> list[DebianMachine]:
    given = getattr(item, "funcargs", {})
    found = [value for value in given.values() if isinstance(value, DebianMachine)]
    for value in given.values():
        if isinstance(value, Machines):
            found += [machine for machine in value.booted if machine not in found]
    return found
