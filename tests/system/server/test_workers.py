"""Workers and jobs run as the app does: its release, its environment, switched with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ..machines import DebianMachine
from ..machines.host import eventually
from .sites import HELLO, ask, plan_is_empty, put_site, status

pytestmark = [
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.parametrize("shared_server", ["applied"], indirect=True),
]

NAME = "busy"
USER = "hostel-busy"
FOLDER = f"/root/{NAME}"
DATA = f"/srv/hostel/{NAME}/data"

SAYS = """\
import json
import os
import time

MARK = "@MARK@"


def say(name, what, **more):
    facts = {"what": what, "mark": MARK, "pid": os.getpid(), "at": time.time(), **more}
    facts |= {"env": dict(os.environ), "ids": [os.getuid(), os.getgid(), os.getgroups()]}
    facts |= {"cwd": os.getcwd()}
    with open(os.path.join(os.environ["DATA_DIR"], name), "a") as file:
        file.write(json.dumps(facts) + "\\n")
"""
WORKER = """\
import signal
import sys
import time

from says import say


def end(*_):
    say("worker", "asked to end")
    time.sleep(2)
    say("worker", "done")
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
say("worker", "began")
print("the worker is at work", flush=True)
while True:
    time.sleep(0.2)
"""
STUBBORN = """\
import signal
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    time.sleep(1)
"""
JOB = """\
import sys

from says import say

say(sys.argv[1], "ran")
print("the job has run")
"""
APP = """\
import json
import os
import says


def application(environ, start_response):
    facts = {"mark": says.MARK, "env": dict(os.environ), "cwd": os.getcwd()}
    facts["ids"] = [os.getuid(), os.getgid(), os.getgroups()]
    body = json.dumps(facts).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""
TASKS = """\
[workers.mailer]
command = ["python", "worker.py"]
count = 2
stop_timeout = 20
[workers.stubborn]
command = ["python", "stubborn.py"]
stop_timeout = 3
[cron.tick]
schedule = "* * * * *"
command = ["python", "job.py", "job"]
[cron.yearly]
schedule = "@yearly"
command = ["python", "job.py", "by-hand"]
"""


class Busy:
    """The site, as it is changed over and over."""

    def __init__(self, server: DebianMachine) -> None:
        self.server = server
        self.mark = 0
        files = {"worker.py": WORKER, "stubborn.py": STUBBORN, "job.py": JOB}
        for name, text in files.items():
            server.write(f"{FOLDER}/{name}", text)
        self.switch()
        argv = ["hostel", "env", "set", "SECRET", "--site", NAME]
        server.run(argv, stdin="kept", check=True, timeout=600)

    def switch(self, tasks: str = TASKS) -> None:
        """Bring other code into service."""
        self.mark += 1
        self.server.write(f"{FOLDER}/says.py", SAYS.replace("@MARK@", str(self.mark)))
        put_site(self.server, NAME, APP, tasks)
        self.server.run(["hostel", "apply", FOLDER], check=True, timeout=600)

    def said(self, name: str, what: str = "") -> list[dict[str, Any]]:
        """What workers, or jobs, have written down so far."""
        if not self.server.exists(f"{DATA}/{name}"):
            return []
        lines = map(json.loads, self.server.read(f"{DATA}/{name}").splitlines())
        return [line for line in lines if not what or line["what"] == what]

    def of(self, mark: int, what: str) -> list[dict[str, Any]]:
        return [line for line in self.said("worker", what) if line["mark"] == str(mark)]

    def app(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(ask(self.server, f"{NAME}.example.com").text)
        return said

    def units(self, kind: str) -> list[str]:
        """Those of its units that run, by the beginning of their names."""
        argv = ["systemctl", "list-units", "--plain", "--no-legend", f"hostel-{kind}@{NAME}*"]
        lines = self.server.run(argv, check=True).stdout.splitlines()
        return sorted(line.split()[0] for line in lines)

    @property
    def generation(self) -> int:
        return int(status(self.server, NAME)["generation"])


@pytest.fixture(scope="module")
def busy(shared_server: DebianMachine) -> Iterator[Busy]:
    return Busy(shared_server)


def names(generation: int) -> list[str]:
    tasks = ("mailer.1", "mailer.2", "stubborn.1")
    return [f"hostel-worker@{NAME}-{generation}.{task}.service" for task in tasks]


def test_workers_have_the_apps_user_release_and_environment_and_as_many_run_as_said(
    busy: Busy,
) -> None:
    wanted = names(busy.generation)
    eventually(lambda: busy.units("worker") == wanted, "those of the generation before are gone")
    eventually(lambda: len(busy.of(busy.mark, "began")) >= 4, "two began in each generation")
    app, newest = busy.app(), busy.of(busy.mark, "began")[-2:]
    assert len({one["pid"] for one in newest}) == 2
    for one in newest:
        assert one["env"] == app["env"]
        assert one["env"]["SECRET"] == "kept"
        assert (one["ids"], one["cwd"]) == (app["ids"], app["cwd"])


def test_a_switch_ends_the_old_workers_in_order_and_begins_new_ones(busy: Busy) -> None:
    eventually(lambda: len(busy.of(busy.mark, "began")) >= 2, "they began")
    old = {one["pid"] for one in busy.of(busy.mark, "began")[-2:]}
    before = busy.generation
    busy.switch()
    eventually(lambda: len(busy.of(busy.mark, "began")) == 2, "two of the new code began")
    asked = f"hostel-worker@{NAME}-{before}."
    eventually(lambda: not any(asked in unit for unit in busy.units("worker")), "the old are gone")
    for what in ("asked to end", "done"):
        assert {one["pid"] for one in busy.of(busy.mark - 1, what)} >= old
    assert busy.units("worker") == names(busy.generation)
    assert busy.server.failed() == []


def test_a_worker_that_crashes_comes_back_alone(busy: Busy) -> None:
    first, second, _ = names(busy.generation)
    pids = {unit: busy.server.show(unit, "MainPID") for unit in (first, second)}
    busy.server.kill9(first)
    eventually(lambda: busy.server.show(first, "MainPID") not in ("0", pids[first]), "it is back")
    eventually(lambda: busy.server.show(first, "ActiveState") == "active", "it is at work")
    assert busy.server.show(second, "MainPID") == pids[second]
    assert busy.app()["mark"] == str(busy.mark)


def test_what_a_worker_or_a_job_wrote_is_shown(busy: Busy) -> None:
    def shown(worker: str) -> str:
        return busy.server.run(["hostel", "logs", NAME, "--worker", worker], check=True).stdout

    eventually(lambda: "the worker is at work" in shown("mailer"), "its line is in the journal")
    busy.server.run(["systemctl", "start", f"hostel-cron@{NAME}.yearly.service"], check=True)
    eventually(lambda: "the job has run" in shown("yearly"), "its line is in the journal")
    assert "worker" not in shown("yearly")
    wrong = busy.server.run(["hostel", "logs", NAME, "--worker", "nobody"])
    assert wrong.returncode == 2
    assert "no worker or job of that name" in wrong.stderr


def test_a_worker_that_does_not_start_is_told_and_the_switch_undone(busy: Busy) -> None:
    before, pids = (
        busy.generation,
        [busy.server.show(unit, "MainPID") for unit in names(busy.generation)],
    )
    bad = TASKS + '[workers.bad]\ncommand = ["python", "-c", "raise SystemExit(\'no queue\')"]\n'
    put_site(busy.server, NAME, APP + "\n# other\n", bad)
    done = busy.server.run(["hostel", "apply", FOLDER], timeout=600)
    assert done.returncode == 4, done.stderr
    assert "bad" in done.stderr
    assert "no queue" in done.stderr
    put_site(busy.server, NAME, APP, TASKS)
    assert plan_is_empty(busy.server, FOLDER)
    assert busy.generation == before
    assert [busy.server.show(unit, "MainPID") for unit in names(before)] == pids
    assert busy.units("worker") == names(before)


def test_a_job_runs_once_each_minute_over_all_switches(busy: Busy) -> None:
    # All switches of the tests above count, too.
    seen = len(busy.said("job"))
    while len(busy.said("job")) < seen + 2:
        busy.switch()
    minutes = [int(one["at"] // 60) for one in busy.said("job")]
    assert minutes == [*range(minutes[0], minutes[-1] + 1)]
    app, last = busy.app(), busy.said("job")[-1]
    assert (last["env"], last["ids"]) == (app["env"], app["ids"])
    assert int(last["mark"]) >= busy.mark - 1, "it runs in the release that is live"


def test_what_is_taken_out_of_the_site_file_goes(busy: Busy) -> None:
    busy.switch('[workers]\nmailer = ["python", "worker.py"]\n')
    eventually(lambda: len(busy.units("worker")) == 1, "only one is left")
    assert busy.units("worker") == [f"hostel-worker@{NAME}-{busy.generation}.mailer.1.service"]
    assert busy.units("cron") == []
    units = busy.server.run(["ls", "/etc/systemd/system"], check=True).stdout
    assert f"hostel-cron@{NAME}" not in units
    assert plan_is_empty(busy.server, FOLDER)
    ran = len(busy.said("job"))
    busy.switch("")
    eventually(lambda: busy.units("worker") == [], "none is left")
    assert busy.server.run(["pgrep", "-u", USER, "-f", "worker.py|stubborn.py"]).stdout == ""
    assert len(busy.said("job")) == ran


def test_a_procfile_is_enough(busy: Busy) -> None:
    server = busy.server
    files = {"app.py": HELLO, "worker.py": WORKER, "says.py": SAYS}
    files["release.py"] = 'from says import say\nsay("release", "ran")\n'
    files["Procfile"] = (
        "web: gunicorn app:application\nrelease: python release.py\nworker: python worker.py\n"
    )
    for name, text in files.items():
        server.write(f"/root/procfile/{name}", text)
    server.run(["hostel", "apply", "/root/procfile"], check=True, timeout=600)
    assert ask(server, "procfile.localhost").text == "hello"
    data = "/srv/hostel/procfile/data"
    assert json.loads(server.read(f"{data}/release"))["what"] == "ran"
    eventually(lambda: server.exists(f"{data}/worker"), "the worker began")
    assert plan_is_empty(server, "/root/procfile")
    server.reboot()
    eventually(lambda: server.read(f"{data}/worker").count("began") == 2, "it began again", 120)
    assert ask(server, "procfile.localhost").text == "hello"
