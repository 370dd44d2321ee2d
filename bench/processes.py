"""Starts processes and ends them for certain, by their pids; asks when they answer, how big."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import psutil

from hostel.account import Account

ANY_CERTIFICATE = ssl.create_default_context()
ANY_CERTIFICATE.check_hostname = False
ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Failed(Exception):
    """Something could not be measured; the text says what and why."""


def run(command: Sequence[object], seconds: float = 60) -> str:
    """Run a command to its end and return what it printed. Raises Failed."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from None
    if done.returncode:
        last = (done.stderr or done.stdout).strip()[-800:]
        raise Failed(f"{' '.join(words[:3])} ended with {done.returncode}: {last}")
    return done.stdout


@contextlib.contextmanager
def running(
    command: Sequence[object],
    ready: str | Path,
    *,
    user: Account,
    root: bool = False,
    env: Mapping[str, str] | None = None,
    log: Path,
) -> Iterator[int]:
    """A server; gives its pid once it is ready and ends it with all its children.

    It is ready when a URL answers or a socket is there. `root` starts it as we are: a server
    that changes to `user` itself.
    """
    other = not root and user != Account.current()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": PATH, "LANG": "C.UTF-8", **(env or {})},
            cwd=log.parent,
            start_new_session=True,
            user=user.uid if other else None,
            group=user.gid if other else None,
            extra_groups=[] if other else None,
        )
    try:
        _await(ready, process)
        yield process.pid
    except Failed as error:
        raise Failed(f"{error}\n{log.read_text(errors='replace')[-800:]}") from None
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    tree = family(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    for member in psutil.wait_procs(tree, timeout=2)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait(10)


def _await(ready: str | Path, process: subprocess.Popen[bytes], seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        if ready.is_socket() if isinstance(ready, Path) else not trouble(ready):
            return
        time.sleep(0.05)
    raise Failed(f"{ready} is not there: {'' if isinstance(ready, Path) else trouble(ready)}")


def trouble(url: str) -> str:
    """What keeps a URL from answering with 200; nothing if it does."""
    try:
        with urlopen(url, timeout=5, context=ANY_CERTIFICATE) as answer:
            return "" if answer.status == 200 else f"status {answer.status}"
    except HTTPError as error:
        return f"status {error.code}"
    except (URLError, OSError, http.client.HTTPException) as error:
        return str(error)


def others_busy() -> float:
    """How much of the processors other programs take, in percent; takes two seconds."""
    return psutil.cpu_percent(interval=2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it; empty when it is gone."""
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def memory(pid: int) -> float:
    """The proportional set size of a process and all below it, in MB (10^6 bytes)."""
    kilobytes = 0
    for member in family(pid):
        text = Path(f"/proc/{member.pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss: +(\d+) kB$", text, re.MULTILINE)
        kilobytes += int(found[1]) if found else 0
    return kilobytes * 1024 / 1e6
