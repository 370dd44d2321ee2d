"""The instance: a real httpd with a real mod_wsgi, configured as every site's."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hostel import boot_files, httpd_build, interpreter, modwsgi, processes
from hostel.apply import World, apply
from hostel.desired import CHECK, INSTANCE, Code, Wanted, Web, desired
from hostel.errors import HostelError, RolledBack
from hostel.httpd import expression_text, line, render
from hostel.httpd_build import Httpd
from hostel.instance import StaticFolder
from hostel.machine import Machine
from hostel.plan import Change, State, name_of, plan
from hostel.platforms.layout import Layout
from hostel.platforms.private import cache_folder, machine_here, plain_path, prepare
from hostel.private_world import journal_of, world_of
from hostel.rundir import run_dir
from hostel.site import Site
from hostel.states import InstanceState, file_key
from hostel.verify import Front

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

APP = """
import json, os
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    seen = {name: value for name, value in environ.items() if isinstance(value, str)}
    me = {"pid": os.getpid(), "parent": os.getppid(), "uid": os.getuid(), "environ": seen}
    me |= {"env": dict(os.environ), "cwd": os.fsencode(os.getcwd()).hex()}
    return [json.dumps(me).encode()]
"""


@dataclass(frozen=True)
class Parts:
    """What all instances of these tests share: httpd, a Python environment, mod_wsgi for both."""

    machine: Machine
    httpd: Httpd
    venv: Path
    module: Path


@pytest.fixture(scope="session")
def parts() -> Iterator[Parts]:
    machine = machine_here()
    try:
        httpd = httpd_build.find(machine)
        python = interpreter.choose(None, Path("/"), machine)
        module = modwsgi.module_for(python, httpd, cache_folder(machine), machine, print)
    except HostelError as error:
        pytest.skip(f"{error}; {error.remedy}")
    folder = Path(tempfile.mkdtemp(prefix="hostel-venv-"))
    folder.chmod(0o755)
    subprocess.run([python.path, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    yield Parts(machine, httpd, folder / "venv", module)
    shutil.rmtree(folder)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class Scene:
    """One site in a folder of its own, brought up by the real engine in the real world."""

    parts: Parts
    root: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.machine = self.parts.machine
        state = self.root / ".hostel"
        self.code = self.root / "code"
        (self.code / "assets").mkdir(parents=True)
        (self.code / "app.py").write_text(APP)
        (self.code / "assets" / "style.css").write_text("body {}")
        prepare(state, self.root, self.machine)
        self.layout = Layout(state, run_dir(state, self.machine))

    def wanted(self, env: dict[str, str], count: int = 1) -> Wanted:
        httpd = self.parts.httpd
        return Wanted(
            site=Site(
                name="site",
                app="app:application",
                static={"/static": "assets"},
                tls={"mode": "off"},  # type: ignore[arg-type]
            ),
            layout=self.layout,
            runner=self.machine.runner,
            web=Web(
                httpd.binary, httpd.modules_dir, httpd.builtin, ("127.0.0.1",), self.port, 0, None
            ),
            code=Code(
                "1",
                self.code,
                plain_path(self.parts.venv, self.layout, self.machine),
                self.parts.module,
                (StaticFolder("/static", self.code / "assets"),),
            ),
            env={"LANG": "C.UTF-8", "HOME": "/home/of-nobody", **env},
            boot_scripts=boot_files.texts(boot_files.BESIDE),
            processes=count,
            threads=2,
            database={},
        )

    def world(self) -> World:
        front = Front("127.0.0.1", self.port, "localhost", None)
        return world_of(self.layout, self.machine, front, {name_of(CHECK): lambda: None})

    def up(self, wanted: Wanted) -> tuple[Change, ...]:
        """Make it so; returns what had to change."""
        states, world = desired(wanted), self.world()
        there = [file_key(path) for path in self.layout.instance.rglob("*") if path.is_file()]
        steps = plan(states, {which: world.observe(which) for which in {*states, *there}})
        apply(steps, world, journal_of(self.layout), lambda: None, lambda change: None)
        return steps.changes

    def end(self) -> None:
        """Stop it, and leave nothing of it."""
        self.down()
        for folder in (self.layout.run, self.root):
            shutil.rmtree(folder, ignore_errors=folder == self.layout.run)

    def down(self) -> None:
        world = self.world()
        world.enact(Change(INSTANCE, world.observe(INSTANCE), None))

    def observed(self) -> State | None:
        return self.world().observe(INSTANCE)

    def get(self, path: str) -> tuple[int, bytes]:
        return get(self.port, path)

    def app(self) -> Any:
        status, body = self.get("/")
        assert status == 200, self.layout.error_log.read_text()
        return json.loads(body)

    def pid(self) -> int:
        return int(json.loads(self.layout.record.read_bytes())["pid"])


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def place() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="hostel-test-")).resolve()
    folder.chmod(0o755)
    return folder


@pytest.fixture
def scene(parts: Parts) -> Iterator[Scene]:
    it = Scene(parts, place())
    yield it
    it.end()


# -- its life -------------------------------------------------------------------------------


def test_it_starts_serves_as_the_runner_and_is_observed_as_it_was_wanted(scene: Scene) -> None:
    assert scene.observed() is None
    wanted = scene.wanted({"GREETING": "héllo"})
    scene.up(wanted)
    assert scene.observed() == desired(wanted)[INSTANCE]
    app = scene.app()
    assert app["env"]["GREETING"] == "héllo"
    assert app["uid"] == scene.machine.runner.uid
    assert app["parent"] == scene.pid()
    assert scene.get("/static/style.css") == (200, b"body {}")
    assert not scene.up(wanted), "nothing is left to do"


def test_another_environment_is_taken_up_without_a_new_httpd(scene: Scene) -> None:
    scene.up(scene.wanted({"VERSION": "1"}))
    first, parent = scene.app(), scene.pid()
    changed = scene.up(scene.wanted({"VERSION": "2"}))
    assert INSTANCE in [change.key for change in changed]
    second = scene.app()
    assert second["env"]["VERSION"] == "2"
    assert scene.pid() == parent == second["parent"]
    assert second["pid"] != first["pid"]
    assert not list(scene.layout.instance.glob("drain*"))


def test_another_number_of_processes_is_taken_up_by_a_new_httpd(scene: Scene) -> None:
    scene.up(scene.wanted({}))
    parent = scene.pid()
    scene.up(scene.wanted({}, count=2))
    assert scene.pid() != parent
    assert processes.identity(parent) is None
    assert scene.app()["parent"] == scene.pid()


def test_it_stops_with_all_its_children_and_again_without_effect(scene: Scene) -> None:
    scene.up(scene.wanted({}, count=2))
    parent, child = scene.pid(), scene.app()["pid"]
    for _ in range(2):
        scene.down()
        assert scene.observed() is None
        assert not scene.layout.record.exists()
    assert processes.identity(parent) is None
    assert processes.identity(child) is None
    with pytest.raises(ConnectionRefusedError):
        scene.get("/")


def test_children_that_outlive_a_killed_httpd_are_seen_and_replaced(scene: Scene) -> None:
    wanted = scene.wanted({}, count=2)
    scene.up(wanted)
    parent, child = scene.pid(), scene.app()["pid"]
    os.kill(parent, signal.SIGKILL)
    assert processes.wait(lambda: processes.identity(parent) is None, 30)
    if processes.identity(child) is not None:
        orphaned = scene.observed()
        assert isinstance(orphaned, InstanceState)
        assert orphaned.core == "orphaned"
    scene.up(wanted)
    assert scene.observed() == desired(wanted)[INSTANCE]
    assert scene.app()["parent"] == scene.pid() != parent
    assert processes.identity(child) is None


def test_it_does_not_take_another_process_for_itself(scene: Scene) -> None:
    """After a restart of the machine the recorded pid is somebody else's."""
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        record = {"pid": stranger.pid, "began": 1.0, "core": "c", "config": "d", "boot": "b"}
        scene.layout.record.write_text(json.dumps(record))
        assert scene.observed() is None
        scene.down()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"text"', "{}"])
def test_a_spoilt_record_is_no_instance(scene: Scene, text: str) -> None:
    scene.layout.record.write_text(text)
    assert scene.observed() is None


def test_a_taken_port_is_told_in_the_words_of_httpd(scene: Scene) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", scene.port))
        taken.listen()
        with pytest.raises(RolledBack) as caught:
            scene.up(scene.wanted({}))
    said = caught.value.happened + caught.value.detail
    assert "in use" in said or "could not bind" in said or "no listening sockets" in said
    assert scene.observed() is None
    assert not list(scene.layout.instance.rglob("*.*"))


def test_a_configuration_httpd_refuses_leaves_the_old_one_serving(scene: Scene) -> None:
    scene.up(scene.wanted({"VERSION": "1"}))
    parent = scene.pid()
    bad = scene.wanted({"VERSION": "2"})
    missing = replace(bad.code, static=(StaticFolder("/st atic", Path("/nowhere")),))
    broken = replace(bad, code=replace(missing, venv=Path("/nowhere/at/all")))
    try:
        scene.up(broken)
    except HostelError:
        assert scene.app()["env"]["VERSION"] == "1"
        assert scene.pid() == parent


# -- hostile names --------------------------------------------------------------------------

NASTY = [
    "with  spaces ",
    'quo"te',
    "it's",
    "back\\slash\\",
    "${HOME}",
    "$1 %{HTTP_HOST} %1 %h",
    "#comment",
    "<Directory>",
    "</VirtualHost>",
    "[a-z]*?",
    "ünï€ 中文 🐘",
    "a:b,c;d&e|f",
    "-DFOREGROUND",
]


@pytest.mark.parametrize("name", NASTY, ids=[ascii(name) for name in NASTY])
def test_a_site_in_a_folder_of_any_name_is_served(parts: Parts, name: str) -> None:
    top = place()
    scene = Scene(parts, top / name)
    try:
        scene.up(scene.wanted({}))
        assert scene.app()["cwd"] == os.fsencode(scene.code).hex()
        assert scene.get("/static/style.css") == (200, b"body {}")
        assert not scene.up(scene.wanted({}))
    finally:
        scene.end()
        shutil.rmtree(top)


# -- the one quoting function, read back by httpd -------------------------------------------

texts = st.text(
    st.one_of(
        st.characters(exclude_characters="\x7f", exclude_categories=("Cc", "Cs")),
        st.sampled_from(" \"'\\$%{}#<>&;:/?*[]()|"),
    ),
    max_size=40,
)
TRICKS = ["", " ", "\\", "\\\\", '"', '\\"', "'", "${HOME}", "$${HOME}", "${", "${HOSTEL_DOLLAR}",
          "\\${X}", "#", " #", "a\\", '"\\', "</VirtualHost>", "%{HTTP_HOST}", "$1", "${a${b}}",
          "'; x", "\x85", "\xa0", "-", "!", "=", "~ x", "on", "None"]  # fmt: skip


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@example([*TRICKS, *(f"x{text}y" for text in TRICKS)])
@given(st.lists(texts, min_size=100, max_size=200))
def test_httpd_reads_any_text_back_as_it_was(parts: Parts, said: list[str]) -> None:
    seen = served_back(parts, said)
    for number, text in enumerate(said):
        assert as_utf8(seen[f"ARG_{number}"]) == text
        assert as_utf8(seen[f"EXPR_{number}"]) == text


def as_utf8(value: str) -> str:
    return value.encode("latin-1").decode()


def served_back(parts: Parts, said: list[str]) -> dict[str, str]:
    """The environment of a request to an httpd that sets each text as an argument, and as a
    string in an expression."""
    scene = Scene(parts, place())
    states, conf = desired(scene.wanted({})), scene.layout.conf
    lines = [line("LoadModule", "env_module", parts.httpd.modules_dir / "mod_env.so")]
    for number, text in enumerate(said):
        literal = expression_text(text)
        lines.append(line("SetEnv", f"ARG_{number}", text))
        lines.append(line("SetEnvIfExpr", f"{literal} =~ m#^(.*)$#", f"EXPR_{number}=$1"))
    world = scene.world()
    for which, state in states.items():
        if which != INSTANCE:
            world.enact(Change(which, None, state))
    text = conf.read_text() + render(lines)
    conf.chmod(0o644)
    conf.write_text(text)
    try:
        world.enact(Change(INSTANCE, None, states[INSTANCE]))
        environ: dict[str, str] = scene.app()["environ"]
        return environ
    finally:
        scene.end()
