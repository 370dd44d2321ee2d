"""`hostel logs` of real sites: each line is with the request that wrote it, and nothing is lost."""

from __future__ import annotations

import concurrent.futures
import json
import signal
import subprocess
from typing import Any

import pytest

from .conftest import Hosted, eventually

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

APP = r"""
import logging, os, sys, threading, time

logging.basicConfig(level=logging.INFO)
print("at import")

def application(environ, start_response):
    path = environ["PATH_INFO"]
    print("printed for", path)
    time.sleep(0.01)
    logging.getLogger("shop").info("logged for %s", path)
    sys.stderr.write("stderr for %s\n" % path)
    time.sleep(0.01)
    if path.startswith("/boom"):
        raise RuntimeError("boom for " + path)
    if path.startswith("/gate"):
        gate = os.path.join(os.environ["DATA_DIR"], "gate")
        while not os.path.exists(gate):
            time.sleep(0.05)
    start_response("200 OK", [("Content-Type", "text/plain"),
                              ("X-Seen", environ["mod_wsgi.request_id"])])
    return streamed(path)

def streamed(path):
    yield b"a"
    print("streamed for", path, file=sys.stderr)
"""


@pytest.fixture
def site(project: Any) -> Hosted:
    hosted: Hosted = project(None, "shop", **{"app.py": APP, "hostel.toml": 'app = "app.py"\n'})
    assert hosted.up().returncode == 0
    return hosted


def logs(site: Hosted, *more: object) -> subprocess.CompletedProcess[str]:
    return site.hostel("logs", site.root, "--dir", site.state, *more)


def records(site: Hosted, *more: object) -> list[dict[str, Any]]:
    done = logs(site, "--json", *more)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def seen(site: Hosted, count: int) -> list[dict[str, Any]]:
    """All records, once so many requests have been logged."""

    def enough() -> list[dict[str, Any]]:
        found = records(site, "--since", "1h")
        return found if sum(one["kind"] == "request" for one in found) >= count else []

    found: list[dict[str, Any]] = eventually(enough)
    return found


def test_each_line_is_with_the_request_that_wrote_it(site: Hosted) -> None:
    paths = [f"/{kind}/{number}" for number in range(40) for kind in ("ok", "boom")]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = dict(zip(paths, pool.map(site.get, paths), strict=True))
    found = seen(site, len(paths))
    requests = {one["target"]: one for one in found if one["kind"] == "request"}
    assert set(requests) == set(paths)
    assert len({one["request"] for one in requests.values()}) == len(paths)
    for path in paths:
        if answers[path].status == 200:
            assert answers[path].headers["x-seen"] == requests[path]["request"]
        where = found.index(requests[path])
        own = []
        for record in found[where + 1 :]:
            if record["kind"] == "request" or record["request"] != requests[path]["request"]:
                break
            own.append(record["message"])
        text = "\n".join(own)
        for words in ("printed", "INFO:shop:logged", "stderr"):
            assert f"{words} for {path}" in text
        assert ("RuntimeError: boom for " + path in text) == path.startswith("/boom")
        assert (f"streamed for {path}" in text) == path.startswith("/ok")
        assert all(path in line for line in own if " for /" in line)


def test_what_people_see_is_indented_below_the_request(site: Hosted) -> None:
    site.get("/boom/1")
    number = next(one["request"] for one in seen(site, 1) if one["kind"] == "request")
    head, *below = logs(site, "--request", number).stdout.splitlines()
    assert "GET /boom/1  500" in head
    assert head.endswith(number)
    assert below[0] == "          printed for /boom/1"
    assert "          RuntimeError: boom for /boom/1" in below
    assert any('File "app.py", line' in line for line in below)
    assert all(line.startswith("          ") for line in below)


def test_errors_and_the_last_lines_can_be_picked(site: Hosted) -> None:
    for path in ("/ok/1", "/boom/1", "/ok/2"):
        site.get(path)
    seen(site, 3)
    (wrong,) = [one for one in records(site, "--errors") if one["kind"] == "request"]
    assert (wrong["target"], wrong["status"]) == ("/boom/1", 500)
    last = records(site, "-n", "1")
    assert [one["target"] for one in last if one["kind"] == "request"] == ["/ok/2"]
    assert any("at import" in (one["message"] or "") for one in records(site, "--since", "1h"))


def test_following_tells_what_comes_and_ctrl_c_ends_it_in_order(site: Hosted) -> None:
    process = site.person.start(
        site.person.hostel, "logs", site.root, "--dir", site.state, "-f", "-n", "0"
    )
    site.processes.append(process)
    assert process.stdout is not None
    told: list[str] = []

    def reads(text: str) -> None:
        assert process.stdout is not None
        while not any(text in line for line in told):
            line = process.stdout.readline()
            assert line, told
            told.append(line)

    # It has begun when it tells of something.
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        begun = pool.submit(reads, "GET /ok/")
        number = 0
        while not begun.done():
            site.get(f"/ok/{(number := number + 1)}")
        begun.result()
        # A request that goes on is told in parts.
        going = pool.submit(site.get, "/gate")
        reads("stderr for /gate")
        assert not any("GET /gate" in line for line in told)
        gate = site.state / "data" / "gate"
        gate.touch()
        gate.chmod(0o644)
        assert going.result().status == 200
        reads("GET /gate  200")
        reads("streamed for /gate")
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert "Traceback" not in rest
    assert "nterrupt" not in rest


def test_hostile_requests_cannot_drive_a_terminal(site: Hosted) -> None:
    import socket
    import ssl

    context = ssl.create_default_context(cadata=site.ca_text())
    with (
        socket.create_connection(("127.0.0.1", site.https), 60) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as door,
    ):
        door.sendall(b"GET /\x1b]0;t\x07\x9b31m\xe2\x80\xae HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while door.recv(65536):
            pass
    eventually(lambda: "400" in logs(site).stdout)
    for text in (logs(site).stdout, logs(site, "--json").stdout):
        assert all(char == "\n" or char.isprintable() for char in text)


def test_a_closed_pipe_ends_it_without_a_word(site: Hosted) -> None:
    for number in range(5):
        site.get(f"/ok/{number}")
    seen(site, 5)
    shell = f"{site.person.hostel} logs {site.root} --dir {site.state} --since 1h | head -n 1"
    done = site.person.run("/bin/sh", "-c", shell)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_what_cannot_be_shown_says_why(site: Hosted) -> None:
    done = logs(site, "--since", "soon")
    assert done.returncode == 2
    assert '"10m"' in done.stderr
    assert logs(site, "--request", "none").stdout == ""
    done = site.hostel("logs", site.root / "nowhere")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    done = site.hostel("logs", site.root, "--dir", site.state.parent / "other")
    assert done.returncode == 1
    assert "there are none yet" in done.stderr
