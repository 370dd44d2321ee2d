"""Whether a site is well, asked of a real server that answers as each test says."""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostel.errors import HostelError
from hostel.verify import Front, Patience, is_live, unwell, verify

GENERATION = "0123456789abcdef"
Serve = Callable[..., Front]


class Server(http.server.ThreadingHTTPServer):
    """Answers from a table of paths; remembers what it was asked."""

    answers: dict[str, int]
    asked: list[tuple[str, str, str]]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        said = self.headers
        self.server.asked.append((self.path, said.get("Host", ""), said.get("User-Agent", "")))
        self.send_response(self.server.answers.get(self.path, 404))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as it:
        it.answers, it.asked = {}, []
        thread = threading.Thread(target=it.serve_forever, args=(0.01,))
        thread.start()
        yield it
        it.shutdown()
        thread.join()


@pytest.fixture
def front(server: Server) -> Front:
    return Front("127.0.0.1", server.server_port, "shop.example", None)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "error.log"


def closed_front() -> Front:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Front("127.0.0.1", int(free.getsockname()[1]), "localhost", None)


def ask(front: Front, log: Path, *, declared: bool = False, offset: int = 0) -> str:
    return verify("shop", Patience("/health", 20, declared), front, lambda: True, log, offset)


def test_it_is_asked_as_a_visitor_would_ask(server: Server, front: Front, log: Path) -> None:
    server.answers["/health"] = 200
    assert ask(front, log) == ""
    [(path, host, agent)] = server.asked
    assert (path, host) == ("/health", f"shop.example:{front.port}")
    assert agent == "hostel-probe"


@pytest.mark.parametrize(("status", "guessed", "declared"), [
    (200, True, True), (204, True, True), (302, True, True), (401, True, False),
    (404, True, False), (500, False, False), (503, False, False),
])  # fmt: skip
def test_an_app_may_answer_anything_but_a_failure_and_a_declared_path_only_well(
    server: Server, front: Front, log: Path, status: int, guessed: bool, declared: bool
) -> None:
    server.answers["/health"] = status
    for said, good in ((False, guessed), (True, declared)):
        if good:
            assert ask(front, log, declared=said) == ""
        else:
            with pytest.raises(HostelError, match=f"it answered {status}"):
                ask(front, log, declared=said)


def test_a_refused_name_is_explained(server: Server, front: Front, log: Path) -> None:
    server.answers["/health"] = 400
    assert "ALLOWED_HOSTS" in ask(front, log)
    assert "shop.example" in ask(front, log)


def test_a_failure_shows_the_apps_own_lines_of_this_run_alone(
    server: Server, front: Front, log: Path
) -> None:
    server.answers["/health"] = 500
    log.write_text("line of yesterday\n")
    offset = log.stat().st_size
    with log.open("a") as file:
        file.write("KeyError: 'SHOP'\n")
    with pytest.raises(HostelError) as caught:
        ask(front, log, offset=offset)
    assert "KeyError" in caught.value.detail
    assert "yesterday" not in caught.value.detail
    assert caught.value.doing == "asking shop for /health"


def test_lines_of_another_instance_explain_nothing(server: Server, front: Front, log: Path) -> None:
    server.answers["/health"] = 500
    said = "2026-11-24 10:00:00.000000 +0000\twsgi\terror\t{}\t1\t-\t-\t{}\n"
    log.write_text(said.format(7, "mine") + said.format(8, "of the old one"))
    with pytest.raises(HostelError) as caught:
        verify("shop", Patience("/health", 20), front, lambda: True, log, 0, "8".__eq__)
    assert "mine" in caught.value.detail
    assert "old one" not in caught.value.detail


def test_a_process_that_crashes_with_each_request_is_not_asked_for_ever(log: Path) -> None:
    """It accepts, and closes without an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def crash() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()

        thread = threading.Thread(target=crash, daemon=True)
        thread.start()
        front = Front("127.0.0.1", int(listener.getsockname()[1]), "shop.example", None)
        with pytest.raises(HostelError, match="without an answer"):
            verify("shop", Patience("/", 100_000), front, lambda: True, log, 0)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(60)


def test_an_app_that_logs_nothing_is_told_how_to(server: Server, front: Front, log: Path) -> None:
    server.answers["/health"] = 500
    with pytest.raises(HostelError) as caught:
        ask(front, log)
    assert "logged nothing" in caught.value.remedy


def test_a_server_that_ended_is_not_waited_for(log: Path) -> None:
    with pytest.raises(HostelError, match="nothing listens"):
        verify("shop", Patience("/", 600), closed_front(), lambda: False, log, 0)


def test_a_server_that_is_not_there_yet_is_waited_for(server: Server, log: Path) -> None:
    """It listens when it has been asked for in vain once."""
    server.answers["/health"] = 200
    late = closed_front()
    started: list[Server] = []

    def alive() -> bool:
        if not started:
            started.append(Server(("127.0.0.1", late.port), Handler))
            started[0].answers, started[0].asked = {"/health": 200}, []
            threading.Thread(target=started[0].serve_forever, args=(0.01,)).start()
        return True

    try:
        assert verify("shop", Patience("/health", 60), late, alive, log, 0) == ""
    finally:
        started[0].shutdown()
        started[0].server_close()


def test_a_generation_is_live_only_when_it_answers_at_its_own_name(
    server: Server, front: Front
) -> None:
    assert not is_live(front, GENERATION)
    server.answers[f"/.well-known/hostel/{GENERATION}"] = 204
    assert is_live(front, GENERATION)
    server.answers[f"/.well-known/hostel/{GENERATION}"] = 200
    assert not is_live(front, GENERATION), "an app that answers everything is not the marker"
    assert not is_live(closed_front(), GENERATION)


def test_what_an_app_put_in_the_place_of_its_log_is_neither_read_nor_waited_for(
    tmp_path: Path,
) -> None:
    other, link, pipe = tmp_path / "other", tmp_path / "link", tmp_path / "pipe"
    other.write_text("another's secret\n")
    link.symlink_to(other)
    os.mkfifo(pipe)
    assert "secret" in unwell("asking", "no", other, 0, lambda _: False).detail
    for log in (link, pipe):
        assert unwell("asking", "no", log, 0, lambda _: False).detail == ""
