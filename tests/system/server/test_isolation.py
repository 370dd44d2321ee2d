"""What one site does, whoever wrote it, is no matter of another's: each has its own and no more.

`evil` does whatever a test sends it; `hello` is the neighbour that must not notice.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import textwrap
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ..machines import DebianMachine
from ..machines.host import eventually
from .sites import HELLO, ask, put_site, status

pytestmark = [
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.parametrize("shared_server", ["applied"], indirect=True),
]

SECRET = f"kept-for-hello-{uuid.uuid4().hex}"
OWN = f"known-to-evil-{uuid.uuid4().hex}"
HOSTS = {name: f"{name}.example.com" for name in ("hello", "evil")}
LIMITS = """\
[server]
processes = 1
threads = 4
memory = "300MB"
tasks = 200
"""
CRON = """\
[workers]
idle = ["sleep", "86400"]
[cron]
nightly = { schedule = "0 4 * * *", command = ["python", "-c", "pass"] }
"""

EVIL = """\
import json
import traceback


def application(environ, start_response):
    names = {"environ": environ}
    code = environ["wsgi.input"].read().decode()
    try:
        exec(code, names)
        said = names.get("said")
    except BaseException:
        said = traceback.format_exc()
    body = json.dumps(said, default=repr).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture(scope="module")
def server(shared_server: DebianMachine) -> Iterator[DebianMachine]:
    """A machine with both, each with a secret of its own."""
    for name, app, more in (("hello", HELLO, CRON), ("evil", EVIL, LIMITS)):
        folder = put_site(shared_server, name, app, more)
        shared_server.run(["hostel", "apply", folder], check=True, timeout=600)
        secret = {"hello": SECRET, "evil": OWN}[name]
        argv = ["hostel", "env", "set", "SECRET", "--site", name]
        shared_server.run(argv, stdin=secret, check=True, timeout=600)
    return shared_server


def within(server: DebianMachine, code: str, seconds: float = 60) -> Any:
    """Run this in a process of evil's instance; returns what it left in `said`."""
    body = textwrap.dedent(code)
    return json.loads(ask(server, HOSTS["evil"], body=body, timeout=seconds).text)


def by_hand(server: DebianMachine, code: str) -> Any:
    """The same with `hostel run`."""
    code = f"{textwrap.dedent(code)}\nimport json\nprint(json.dumps(said))"
    run = ["hostel", "run", "--site", "evil", "--", "python", "-c", code]
    return json.loads(server.run(run, check=True).stdout)


def attack(server: DebianMachine, code: str, seconds: float = 5) -> None:
    """The same, whose answer may never come."""
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        ask(server, HOSTS["evil"], body=textwrap.dedent(code), timeout=seconds)


def hello_is_well(server: DebianMachine, times: int = 20) -> bool:
    return all(ask(server, HOSTS["hello"]).text == "hello" for _ in range(times))


def evil_comes_back(server: DebianMachine) -> None:
    def answers() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            return bool(within(server, "said = 'back'", seconds=10) == "back")
        return False

    eventually(answers, "evil answers again", 300)


def pids(server: DebianMachine, user: str) -> list[int]:
    return [int(pid) for pid in server.run(["pgrep", "-u", user]).stdout.split()]


def unit(server: DebianMachine, name: str) -> str:
    return str(status(server, name)["unit"])


# -- rights ---------------------------------------------------------------------------------------

READ = """\
import os
said = []
for path in {paths!r}:
    try:
        if os.path.isdir(path):
            os.listdir(path)
        else:
            open(path, "rb").read(1)
        said.append(path)
    except OSError:
        pass
"""


def test_a_site_reads_nothing_of_another_nor_of_hostels(server: DebianMachine) -> None:
    folders = ["/srv/hostel/hello", "/var/log/hostel/hello", "/etc/hostel/sites", "/root"]
    folders += ["/var/lib/hostel/sites", "/var/lib/hostel/ca", "/var/log/journal", "/run/log"]
    folders += [f"/run/hostel/{unit(server, 'hello').partition('@')[2].removesuffix('.service')}"]
    find = ["find", *folders, "/var/lib/hostel/ledger.json", "-readable"]
    paths = server.run([*find, "(", "-type", "f", "-o", "-type", "d", ")"]).stdout.splitlines()
    assert "/etc/hostel/sites/hello/env.json" in paths
    assert len([path for path in paths if path.startswith("/srv/hostel/hello/generations/")]) > 5
    for pid in pids(server, "hostel-hello"):
        paths += [f"/proc/{pid}/{name}" for name in ("environ", "cmdline", "maps", "fd", "cwd")]
    read = within(server, READ.format(paths=paths))
    # The names of the sites are no secret, and a folder above all sites' is no site's.
    open_to_all = {
        "/etc/hostel/sites",
        "/var/lib/hostel/sites",
        "/var/log/journal",
        "/run/log",
        "/run/log/journal",
    }
    assert any(path.endswith(".journal") for path in paths)
    journals = {path for path in read if path.startswith("/var/log/journal/") and "." not in path}
    assert {*read} <= open_to_all | journals
    own = ["/srv/hostel/evil/generations/2/boot.json", "/proc/self/environ"]
    assert within(server, READ.format(paths=own)) == own


def test_a_site_cannot_change_what_it_runs(server: DebianMachine) -> None:
    find = ["find", "/srv/hostel/evil", "/var/lib/hostel", "/etc/hostel", "/etc/systemd"]
    find += ["/usr/bin/python3", "/usr/lib/apache2", "!", "-lname", "/dev/null"]
    paths = server.run(find).stdout.splitlines()
    code = f"""\
    import os
    said = []
    for path in {paths!r}:
        name = os.path.join(path, "new") if os.path.isdir(path) else path
        try:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT))
            said.append(path)
        except OSError:
            pass
        try:
            os.chmod(path, 0o777)
            said.append(path)
        except OSError:
            pass
    """
    data = "/srv/hostel/evil/data"
    assert {*within(server, code)} == {data}
    assert {*by_hand(server, code)} <= {data, f"{data}/new"}


def test_a_site_cannot_take_the_routers_ports(server: DebianMachine) -> None:
    code = """\
    import socket
    said = []
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"),
                            (socket.AF_INET, "127.0.0.9"), (socket.AF_INET6, "::")):
        for port in (80, 443):
            with socket.socket(family) as one:
                for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                    one.setsockopt(socket.SOL_SOCKET, option, 1)
                try:
                    one.bind((address, port))
                    said.append([address, port])
                except OSError:
                    pass
    """
    assert within(server, code) == []
    server.run(["systemctl", "stop", "hostel-router"], check=True)
    try:
        assert by_hand(server, code) == []
    finally:
        server.run(["systemctl", "start", "hostel-router"], check=True)
    assert hello_is_well(server)


def test_a_site_cannot_signal_or_trace_anothers_processes(server: DebianMachine) -> None:
    foreign = [*pids(server, "hostel-hello"), *pids(server, "hostel-router"), 1]
    assert len(foreign) > 5
    code = f"""\
    import ctypes, os, signal
    libc = ctypes.CDLL(None, use_errno=True)
    PTRACE_SEIZE = 0x4206
    said = []
    for pid in {foreign!r}:
        try:
            os.kill(pid, signal.SIGKILL)
            said.append(["signal", pid])
        except OSError:
            pass
        if libc.ptrace(PTRACE_SEIZE, pid, None, None) == 0:
            said.append(["ptrace", pid])
        if os.path.exists(f"/proc/{{pid}}"):
            said.append(["seen", pid])
        try:
            open(f"/proc/{{pid}}/mem", "rb")
            said.append(["mem", pid])
        except OSError:
            pass
    """
    assert within(server, code) == []
    assert {*foreign} <= {*pids(server, "hostel-hello"), *pids(server, "hostel-router"), 1}


def test_a_site_makes_nothing_that_gives_it_rights(server: DebianMachine) -> None:
    code = """\
    import os, subprocess
    said = []
    for argv in (["/usr/bin/su", "-c", "id"], ["/usr/bin/unshare", "-Ur", "id"],
                 ["/usr/bin/systemctl", "stop", "hostel-router"],
                 ["/usr/bin/systemctl", "kill", "hostel-router"],
                 ["/usr/bin/systemd-run", "--wait", "id"]):
        ran = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        said += [argv] if ran.returncode == 0 else []
    path = os.path.join(os.environ["DATA_DIR"], "root")
    with open(path, "w") as file:
        file.write("#!/bin/sh")
    try:
        os.chmod(path, 0o4755)
        said.append("setuid")
    except OSError:
        pass
    os.unlink(path)
    """
    assert within(server, code) == []


def test_what_sites_share_with_others_in_memory_and_tmp_is_nothing(server: DebianMachine) -> None:
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):
        server.write(f"{folder}/planted", "planted", 0o666)
        code = f"""\
        import os
        open("{folder}/from-evil", "w").close()
        said = os.listdir("{folder}")
        """
        assert within(server, code) == ["from-evil"], folder
        assert not server.exists(f"{folder}/from-evil")


def test_nobody_but_the_router_reaches_an_instance_and_says_from_where_he_comes(
    server: DebianMachine,
) -> None:
    routes = json.loads(server.read("/etc/hostel/router/routes.json"))["routes"]
    addresses = [route[kind] for route in routes for kind in ("http", "https")]
    assert len(addresses) == 4
    code = f"""\
    import socket
    said = []
    for address in {addresses!r}:
        host, port = address.split(":")
        for name in (host, "::ffff:" + host):
            try:
                with socket.create_connection((name, int(port)), timeout=2) as one:
                    one.sendall(b"PROXY TCP4 6.6.6.6 127.0.0.1 666 80\\r\\n")
                    said.append([name, port])
            except OSError:
                pass
    """
    assert within(server, code) == []
    assert len(by_hand(server, code)) == 8, "they do listen"


# -- secrets --------------------------------------------------------------------------------------


def test_no_value_is_in_a_unit_an_argument_the_journal_or_a_file_for_all(
    server: DebianMachine,
) -> None:
    places = ["/etc", "/run", "/var", "/srv", "/usr/local", "/opt", "/home", "/tmp"]
    everywhere = ["grep", "-rlsaFf", "-", *places]
    found = server.run(everywhere, stdin=SECRET).stdout.splitlines()
    assert "/etc/hostel/sites/hello/env.json" in found, "a search that would find it"
    who = server.run(["stat", "-c", "%a %U:%G %n", *found], check=True).stdout.splitlines()
    assert {line.rpartition(" ")[0] for line in who} <= {
        "600 root:root",
        "440 root:hostel-hello",
    }, who
    arguments = ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -cFf /dev/stdin"]
    assert server.run(arguments, stdin=SECRET).stdout == "0\n"
    for said in (
        ["journalctl", "--no-pager", "--output=export", "--all"],
        ["systemctl", "show", "--no-pager", "hostel-*"],
        ["systemctl", "cat", "--no-pager", "hostel-*"],
        ["hostel", "plan", "--all", "--json"],
        ["hostel", "status", "--json"],
    ):
        text = server.run(said, check=True).stdout
        assert "hello" in text
        assert SECRET not in text, said


def test_every_unit_is_hardened(server: DebianMachine) -> None:
    listed = ["systemctl", "list-unit-files", "--plain", "--no-legend", "hostel-*.service"]
    units = {line.split()[0] for line in server.run(listed, check=True).stdout.splitlines()}
    units = {name for name in units if not name.endswith("@.service")}
    units |= {unit(server, "hello"), "hostel-router.service"}
    kinds = {name.partition("@")[0].removesuffix(".service") for name in units}
    assert kinds == {"hostel-instance", "hostel-worker", "hostel-cron", "hostel-router"}
    for name in sorted(units):
        argv = ["systemd-analyze", "security", "--no-pager", name]
        last = server.run(argv, check=True).stdout.strip().splitlines()[-1]
        exposure = float(last.rpartition(": ")[2].split()[0])
        print(name, exposure)
        assert exposure <= 2.0, last


# -- hostel run -----------------------------------------------------------------------------------

FACTS = """\
import os
said = {
    "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
    "env": dict(os.environ),
    "umask": os.umask(0o27),
}
"""


def test_a_command_by_hand_is_the_same_user_with_the_same_groups_and_environment(
    server: DebianMachine,
) -> None:
    app, run = within(server, FACTS), by_hand(server, FACTS)
    assert app["env"]["SECRET"] == OWN
    for what in ("ids", "env", "umask"):
        assert run[what] == app[what]


# -- attacks --------------------------------------------------------------------------------------


def test_a_site_that_hangs_in_all_threads_hangs_alone(server: DebianMachine) -> None:
    for _ in range(6):
        attack(server, "import time; time.sleep(15)", seconds=1)
    assert hello_is_well(server)
    evil_comes_back(server)


def test_a_site_that_holds_its_lock_for_ever_holds_it_alone(server: DebianMachine) -> None:
    attack(server, "import re; re.match('(a+)+$', 'a' * 60 + 'b')")
    assert hello_is_well(server)
    server.kill9(unit(server, "evil"))
    evil_comes_back(server)


def test_a_site_that_forks_without_end_uses_up_only_its_own(server: DebianMachine) -> None:
    code = """\
    import os, time
    said = 0
    while said < 5000:
        try:
            if os.fork() == 0:
                while True:
                    try:
                        os.fork()
                    except OSError:
                        time.sleep(0.01)
            said += 1
        except OSError:
            break
    """
    attack(server, code)
    assert len(pids(server, "hostel-evil")) > 100
    assert hello_is_well(server)
    server.run(["hostel", "run", "--site", "hello", "--", "true"], check=True)
    server.kill9(unit(server, "evil"))
    evil_comes_back(server)
    assert len(pids(server, "hostel-evil")) < 20


def test_a_site_that_eats_memory_is_ended_alone(server: DebianMachine) -> None:
    before = pids(server, "hostel-hello")
    attack(server, "hog = []\nwhile True: hog.append(bytearray(10_000_000))")
    assert hello_is_well(server)
    evil_comes_back(server)
    assert pids(server, "hostel-hello") == before


def test_a_site_that_crashes_crashes_alone_and_comes_back(server: DebianMachine) -> None:
    for _ in range(3):
        attack(server, "import ctypes; ctypes.string_at(0)")
    assert hello_is_well(server)
    evil_comes_back(server)
    core = within(server, "import resource; said = resource.getrlimit(resource.RLIMIT_CORE)")
    assert core == [1, 1], "no core dump, neither to a file nor to a program that logs it"


@pytest.mark.parametrize(
    "bad",
    [
        "hog = []\nwhile True: hog.append(bytearray(10_000_000))",
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        "import os, sys\nif os.fork() == 0:\n    os.setsid()\n    while True: pass\nos._exit(3)",
    ],
    ids=["eats memory", "forks", "leaves a process behind"],
)
def test_an_app_that_attacks_when_it_is_imported_never_gets_so_far(
    server: DebianMachine, bad: str
) -> None:
    folder = put_site(server, "newcomer", bad, LIMITS + "[health]\ntimeout = 5\n")
    applying = server.popen(["hostel", "apply", folder])
    try:
        while applying.poll() is None:
            assert hello_is_well(server, 3)
            time.sleep(0.5)
        said = applying.stdout.read() if applying.stdout else ""
    finally:
        applying.kill()
    assert applying.returncode == 4, said
    assert "loading the app" in said
    assert pids(server, "hostel-newcomer") == []


# -- traps for root -------------------------------------------------------------------------------


def test_what_a_site_puts_in_the_place_of_its_logs_neither_holds_up_nor_leads_root(
    server: DebianMachine,
) -> None:
    secret = "/etc/hostel/sites/hello/env.json"
    code = f"""\
    import os, datetime
    said = []
    folder = "/var/log/hostel/evil"
    for kind, make in (("error", os.mkfifo), ("access", lambda path: os.symlink({secret!r}, path))):
        for days in (0, 1):
            day = datetime.date.today() + datetime.timedelta(days=days)
            path = f"{{folder}}/{{kind}}.{{day:%Y-%m-%d}}.log"
            if os.path.lexists(path):
                os.rename(path, path + ".old")
            make(path)
            said.append(path)
    """
    trapped = within(server, code)
    assert len(trapped) == 4, trapped
    try:
        server.write("/root/evil/app.py", EVIL + "\n# changed\n")
        done = server.run(["hostel", "apply", "/root/evil"], check=True, timeout=300)
        said = done.stdout + done.stderr
        server.write("/root/evil/app.py", "raise SystemExit(SECRET)\n")
        done = server.run(["hostel", "apply", "/root/evil"], timeout=300)
        assert done.returncode == 4
        said += done.stdout + done.stderr
        for argv in (["status"], ["status", "--json"], ["logs", "evil"]):
            done = server.run(["hostel", *argv], timeout=120)
            said += done.stdout + done.stderr
        assert SECRET not in said
    finally:
        server.run(["rm", "-f", *trapped], check=True)
        server.write("/root/evil/app.py", EVIL)
    server.run(["hostel", "apply", "/root/evil"], check=True, timeout=300)
    assert hello_is_well(server)
