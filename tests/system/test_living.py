"""A site that stays in the terminal: its log, its changes, its end."""

from __future__ import annotations

import contextlib
import http.client
import signal
import ssl
import subprocess
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import filelock
import psutil
import pytest

from .conftest import Hosted, eventually

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

APP = """
import os, sys
print("imported by", os.getpid())
def application(environ, start_response):
    if environ["PATH_INFO"] == "/print":
        print("a word from print")
    if environ["PATH_INFO"] == "/boom":
        raise RuntimeError("it went boom")
    if environ["PATH_INFO"] == "/slow":
        import time; time.sleep(3)
    body = b"VERSION " + os.environ.get("MOOD", "none").encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def version(number: int) -> str:
    return APP.replace("VERSION", f"v{number}")


def lines_of(process: subprocess.Popen[str]) -> list[str]:
    """What the process writes, as it writes it."""
    seen: list[str] = []
    assert process.stdout

    def read(stream: Iterable[str]) -> None:
        for line in stream:
            seen.append(line)

    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    return seen


@contextlib.contextmanager
def visitors(site: Hosted) -> Iterator[dict[str, list[str]]]:
    """Clients that ask all the time, half of them on kept-alive connections."""
    said: dict[str, list[str]] = {"answers": [], "lost": [], "closed": []}
    ends = threading.Event()
    context = ssl.create_default_context(cadata=site.ca_text())

    def ask(keep: bool) -> None:
        connection = None
        while not ends.is_set():
            fresh = connection is None
            try:
                connection = connection or http.client.HTTPSConnection(
                    "localhost", site.https, context=context, timeout=30
                )
                connection.request("GET", "/")
                answer = connection.getresponse()
                text = answer.read().decode()
                (said["answers"] if answer.status == 200 else said["lost"]).append(text)
            except (OSError, http.client.HTTPException) as error:
                # On a connection that was kept, it was closed between requests: ask again.
                said["lost" if fresh else "closed"].append(repr(error))
                connection = None
                continue
            if not keep or answer.will_close:
                connection.close()
                connection = None

    threads = [threading.Thread(target=ask, args=(number % 2 == 0,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        yield said
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_a_change_goes_live_without_losing_a_request(project: Any) -> None:
    site: Hosted = project(None, "living", **{"app.py": version(1)})
    lines = lines_of(site.attached("--reload"))
    eventually(lambda: any("Ctrl-C" in line for line in lines))
    with visitors(site) as said:
        for number in range(2, 6):
            site.write("app.py", version(number))
            eventually(lambda n=number: f"v{n}" in site.get("/").text)
        site.write(".env", "MOOD='good # day'\n")
        eventually(lambda: "good # day" in site.get("/").text)
    assert said["lost"] == []
    assert len(said["answers"]) > 100
    assert any("live as" in line for line in lines)


def test_a_broken_change_keeps_the_old_code_and_shows_its_traceback(project: Any) -> None:
    site: Hosted = project(None, "living", **{"app.py": version(1)})
    lines = lines_of(site.attached("--reload"))
    eventually(lambda: any("Ctrl-C" in line for line in lines))
    for broken, word in (
        ("def application(:\n", "SyntaxError"),
        ("import gone_\n" + version(9), "gone_"),
    ):
        site.write("app.py", broken)
        eventually(lambda w=word: any(w in line for line in lines))
        eventually(lambda: any("old code serves on" in line for line in lines))
        assert "v1" in site.get("/").text
    site.write("app.py", version(2))
    eventually(lambda: "v2" in site.get("/").text)


def test_prints_tracebacks_and_requests_are_on_the_screen(project: Any) -> None:
    site: Hosted = project(None, "living", **{"app.py": version(1)})
    lines = lines_of(site.attached())
    eventually(lambda: any("Ctrl-C" in line for line in lines))
    site.get("/print")
    assert site.get("/boom").status == 500
    for text in ("a word from print", "RuntimeError: it went boom", "GET /print", "GET /boom"):
        eventually(lambda t=text: any(t in line for line in lines))
    assert any('File "app.py", line' in line for line in lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_after_the_requests_in_flight(
    project: Any, number: signal.Signals
) -> None:
    site: Hosted = project("guestbook", "guestbook")
    site.write("guestbook/__init__.py", (site.root / "guestbook/__init__.py").read_text() + SLOW)
    process = site.attached()
    lines = lines_of(process)
    eventually(lambda: any("Ctrl-C" in line for line in lines))
    answers: list[int] = []
    client = threading.Thread(target=lambda: answers.append(site.get("/slow").status))
    client.start()
    eventually(lambda: any("slow begins" in line for line in lines))
    process.send_signal(number)
    process.wait(60)
    client.join()
    assert answers == [200]
    assert not site.strays()
    assert process.returncode == 0


SLOW = """

@app.get("/slow")
def slow() -> str:
    import time

    print("slow begins", flush=True)
    time.sleep(2)
    return "done"
"""


def test_down_from_elsewhere_ends_the_one_in_the_terminal(project: Any) -> None:
    site: Hosted = project(None, "living", **{"app.py": version(1)})
    process = site.attached()
    lines = lines_of(process)
    eventually(lambda: any("Ctrl-C" in line for line in lines))
    assert site.down().returncode == 0
    process.wait(60)
    assert process.returncode == 0
    assert any("hostel down" in line for line in lines)
    assert not site.strays()


@pytest.mark.parametrize("person", ["root"], indirect=True)
def test_an_end_while_another_run_is_at_work_is_judged_when_that_run_is_over(project: Any) -> None:
    site: Hosted = project(None, "living", **{"app.py": version(1)})
    process = site.attached()
    lines = lines_of(process)
    eventually(lambda: any("Ctrl-C" in line for line in lines))
    httpd = psutil.Process(site.status()["pid"])
    with filelock.FileLock(site.state / "lock"):
        httpd.send_signal(signal.SIGTERM)
        eventually(lambda: not httpd.is_running() or httpd.status() == psutil.STATUS_ZOMBIE)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
    process.wait(60)
    assert process.returncode == 1
    assert any("httpd has ended" in line for line in lines)
