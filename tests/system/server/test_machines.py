"""The harness itself: what other tests believe of its machines is tried here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ..machines import DebianMachine, Failed, File, Layer, layer
from ..machines.host import ROOT, base, eventually
from .conftest import Layers, Machines

on_bare = pytest.mark.parametrize("server", ["bare"], indirect=True)
on_shared_bare = pytest.mark.parametrize("shared_server", ["bare"], indirect=True)

TWO_FILES = """
import os
for name in ("forgotten", "synced"):
    with open(f"{FOLDER}/{name}", "w") as file:
        file.write(name)
        file.flush()
        if name == "synced":
            os.fsync(file.fileno())
folder = os.open(FOLDER, os.O_RDONLY)
os.fsync(folder)
"""
FORK = """
import os, sys, time
for _ in range(40):
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
"""


@pytest.mark.parametrize("server", ["bare", "hostel", "ready"], indirect=True)
def test_a_machine_boots_with_no_unit_failed(server: DebianMachine) -> None:
    assert server.failed() == []
    assert server.state == "running"
    assert server.show("dbus.service", "ActiveState") == "active"


@on_shared_bare
def test_a_command_has_a_clean_environment_stdin_and_its_exit_code(
    shared_server: DebianMachine,
) -> None:
    script = 'read -r word; echo "$word $PWD $EXTRA $(id -u)"; env | grep -c SECRET; exit 37'
    os.environ["SECRET_OF_TESTS"] = "leak"
    try:
        ran = shared_server.run(["bash", "-c", script], stdin="hello\n", env={"EXTRA": "more"})
    finally:
        del os.environ["SECRET_OF_TESTS"]
    assert ran.stdout == "hello /root more 0\n0\n"
    assert ran.returncode == 37
    with pytest.raises(Failed, match="exit 1"):
        shared_server.run(["false"], check=True)


@on_shared_bare
def test_the_package_server_is_reached_as_on_the_host(shared_server: DebianMachine) -> None:
    update = ["apt-get", "update", "-o", "APT::Update::Error-Mode=any"]
    shared_server.run(update, check=True, timeout=600)
    found = shared_server.run(["apt-cache", "policy", "haproxy"], check=True).stdout
    assert "Candidate: 2." in found


@on_shared_bare
def test_files_go_in_and_come_out_as_they_are(shared_server: DebianMachine, tmp_path: Path) -> None:
    (tmp_path / "app" / "__pycache__").mkdir(parents=True)
    (tmp_path / "app" / "__pycache__" / "old.pyc").touch()
    (tmp_path / "app" / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (tmp_path / "app" / "run.sh").chmod(0o700)
    shared_server.put(tmp_path / "app", "/srv/app")
    shared_server.write("/srv/deep/down/secret", b"\0\xff", 0o600)
    assert shared_server.run(["/srv/app/run.sh"]).stdout == "ran\n"
    assert not shared_server.exists("/srv/app/__pycache__")
    assert shared_server.read_bytes("/srv/deep/down/secret") == b"\0\xff"
    assert (
        shared_server.run(["stat", "-c", "%a %U", "/srv/deep/down/secret"]).stdout == "600 root\n"
    )


@on_shared_bare
def test_killing_a_command_in_the_background_kills_it_inside(shared_server: DebianMachine) -> None:
    with shared_server.popen(["sleep", "98765"]) as sleeper:
        ps = ["pgrep", "-f", "^sleep 98765$"]
        eventually(lambda: shared_server.run(ps).returncode == 0, "it runs")
        sleeper.kill()
        eventually(lambda: shared_server.run(ps).returncode == 1, "it is dead")


@on_shared_bare
def test_memory_max_kills(shared_server: DebianMachine) -> None:
    def eat(limit: str) -> int:
        argv = ["systemd-run", "--quiet", "--collect", "--wait", "-p", f"MemoryMax={limit}"]
        argv += ["-p", "MemorySwapMax=0", "python3", "-c", "len(b'x' * 300_000_000)"]
        return shared_server.run(argv).returncode

    assert eat("2G") == 0
    assert eat("60M") != 0


@on_shared_bare
def test_tasks_max_limits(shared_server: DebianMachine) -> None:
    def fork(limit: int) -> str:
        argv = [
            "systemd-run",
            "--quiet",
            "--collect",
            "--wait",
            "--pipe",
            "-p",
            f"TasksMax={limit}",
        ]
        return shared_server.run([*argv, "python3", "-c", FORK]).stderr

    assert fork(200) == ""
    assert "BlockingIOError" in fork(20)


@on_shared_bare
def test_units_are_killed_frozen_and_thawed(shared_server: DebianMachine) -> None:
    unit = "sleeper.service"
    start = ["systemd-run", "--quiet", f"--unit={unit}", "--", "sleep", "600"]
    shared_server.run(start, check=True)
    main = shared_server.show(unit, "MainPID")

    def state() -> str:
        return shared_server.run(["ps", "-o", "stat=", "-p", main]).stdout[:1]

    shared_server.freeze(unit)
    eventually(lambda: state() == "T", "it is stopped")
    shared_server.thaw(unit)
    eventually(lambda: state() == "S", "it goes on")
    shared_server.kill9(unit)
    eventually(lambda: shared_server.show(unit, "ActiveState") == "failed", "it is dead")
    assert unit in shared_server.failed()
    assert shared_server.show(unit, "Result") == "signal"
    shared_server.run(["systemctl", "reset-failed", unit], check=True)


@on_bare
def test_a_power_cut_keeps_what_was_synced_and_nothing_else(server: DebianMachine) -> None:
    """A busy machine may have written it by itself before the cut: so up to five times."""
    server.tiny_volume("/srv/small", "60M")
    folders, lost = ("/srv", "/srv/small"), set[str]()
    for attempt in range(5):
        boot_id = server.read("/proc/sys/kernel/random/boot_id")
        for folder in folders:
            server.run(["mkdir", f"{folder}/{attempt}"], check=True)
            text = f"FOLDER = {f'{folder}/{attempt}'!r}{TWO_FILES}"
            server.run(["python3", "-c", text], check=True)
        server.power_cut()
        assert server.state == "running"
        assert server.read("/proc/sys/kernel/random/boot_id") != boot_id
        for folder in folders:
            assert server.read(f"{folder}/{attempt}/synced") == "synced"
            forgotten = f"{folder}/{attempt}/forgotten"
            if not server.exists(forgotten) or server.read(forgotten) == "":
                lost.add(folder)
        if lost == {*folders}:
            return
    raise AssertionError(f"what was not synced was lost in {lost} alone")


@on_bare
def test_an_orderly_reboot_keeps_everything(server: DebianMachine) -> None:
    server.write("/srv/kept", "kept")
    boot_id = server.read("/proc/sys/kernel/random/boot_id")
    server.reboot()
    assert server.state == "running"
    assert server.read("/proc/sys/kernel/random/boot_id") != boot_id
    assert server.read("/srv/kept") == "kept"
    server.run(["systemctl", "is-active", "dbus"], check=True)


@on_bare
def test_a_tiny_volume_fills_up_and_is_there_after_a_reboot(server: DebianMachine) -> None:
    server.tiny_volume("/var/lib/small", "40M")
    fill = ["dd", "if=/dev/zero", "of=/var/lib/small/big", "bs=1M", "count=60"]
    assert "No space left on device" in server.run(fill).stderr
    size = int(server.run(["stat", "-c", "%s", "/var/lib/small/big"]).stdout)
    assert 10_000_000 < size < 40_000_000
    server.reboot()
    assert int(server.run(["stat", "-c", "%s", "/var/lib/small/big"]).stdout) == size
    assert server.run(["mountpoint", "-q", "/var/lib/small"]).returncode == 0


def test_a_small_disk_is_full_for_all_of_the_machine(machines: Machines) -> None:
    server = machines("bare", disk="120M")
    fill = ["dd", "if=/dev/zero", "of=/srv/big", "bs=1M", "count=200"]
    assert "No space left on device" in server.run(fill).stderr
    ran = server.run(["cp", "/usr/bin/python3.11", "/etc/more"])
    assert "No space left on device" in ran.stderr


def test_machines_reach_each_other_and_the_host_reaches_both(machines: Machines) -> None:
    one, two = machines("bare", name="one"), machines("bare", name="two")
    serve = ["systemd-run", "--quiet", "-p", "WorkingDirectory=/srv"]
    serve += ["python3", "-m", "http.server", "80"]
    ask = ["curl", "-sS", "--noproxy", "*", "--retry", "60", "--retry-delay", "1"]
    for machine in (one, two):
        machine.write("/srv/name", machine.name)
        machine.run(serve, check=True)
    for machine, other in ((one, two), (two, one)):
        url = f"http://{other.address}/name"
        words = [*ask, "--retry-connrefused", url]
        assert machine.run(words, check=True).stdout == other.name
        from_host = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
        assert from_host.stdout == other.name
    assert one.run(["hostname"]).stdout == "one\n"
    assert one.read("/etc/machine-id") != two.read("/etc/machine-id")


def test_a_layer_is_built_once_and_again_when_its_steps_change(
    layers: Layers, machines: Machines
) -> None:
    name = f"of_test_{os.getpid()}"

    def made(text: str) -> Layer:
        steps: list[File | list[str]] = [
            File("/srv/step", text),
            ["rm", "/etc/issue"],
            ["mv", "/etc/apt", "/etc/apt2"],
        ]
        return layer(name, layers("bare"), steps)

    try:
        first = made("one").image
        written = first.stat().st_mtime_ns
        assert made("one").image == first
        assert first.stat().st_mtime_ns == written
        machine = machines(made("two"))
        assert not first.exists(), "the outdated one is removed"
        assert machine.read("/srv/step") == "two"
        assert not machine.exists("/etc/issue")
        assert machine.exists("/etc/apt2/sources.list.d") or machine.exists(
            "/etc/apt2/sources.list"
        )
        assert not machine.exists("/etc/apt")
    finally:
        for left in (base() / "layers").glob(f"{name}*"):
            left.unlink()


def test_a_machine_has_the_source_as_it_is_at_boot(machines: Machines, tmp_path: Path) -> None:
    copy = tmp_path / "tree"
    left_out = shutil.ignore_patterns(".*", "__pycache__", "tests")
    shutil.copytree(ROOT, copy, ignore=left_out)
    main = copy / "src" / "hostel" / "__main__.py"
    main.write_text(f"print('a change of today')\n{main.read_text()}")
    assert (
        "a change of today" in machines("hostel", source=copy).run(["hostel", "--version"]).stdout
    )
    server = machines("hostel")
    assert "a change of today" not in server.run(["hostel", "--version"], check=True).stdout
    assert server.read("/opt/hostel/src/pyproject.toml") == (ROOT / "pyproject.toml").read_text()


def test_a_ready_machine_has_a_servers_packages_and_none_of_their_services_on(
    server: DebianMachine,
) -> None:
    for program in ("/usr/sbin/apache2", "/usr/bin/apxs", "/usr/sbin/haproxy", "/usr/bin/gcc"):
        assert server.exists(program), program
    assert server.run(["systemctl", "is-enabled", "haproxy"]).stdout == "disabled\n"
    assert server.run(["ss", "-Htln"]).stdout == ""
    assert not server.exists("/usr/sbin/policy-rc.d")
