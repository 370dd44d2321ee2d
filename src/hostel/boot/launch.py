"""Becomes a process of a site: reads its boot.json, makes the environment exactly that, and execs.

Run as the site's user by the system's Python, as `launch.py [--httpd] BOOT_JSON -- COMMAND...`.
So no value of the environment is in a unit file or on a command line. Standard library only;
starts nothing beside itself and prints nothing unless it fails.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import sys
from typing import Any, NoReturn

USAGE = "usage: launch.py [--httpd] BOOT_JSON -- COMMAND..."

FROM_SYSTEMD = (b"NOTIFY_SOCKET", b"RUNTIME_DIRECTORY")
"""What httpd gets beyond the app's environment: how to say that the app is loaded, and where to
remember it. The app does not see them, since boot/wsgi.py settles its environment first."""

FROM_TERMINAL = (b"TERM", b"COLORTERM")
"""What a command run by hand gets of its terminal, where the site says nothing else."""

FRUGAL = {b"MALLOC_ARENA_MAX": b"2"}
"""For glibc in httpd: with a Python lock, more heaps are only memory."""

NOT_FOUND, NOT_RUN = 127, 126
"""Exit codes as a shell gives them."""


def main(arguments: list[str]) -> NoReturn:
    httpd = arguments[:1] == ["--httpd"]
    rest = arguments[1:] if httpd else arguments
    if len(rest) < 3 or rest[1] != "--":
        fail(2, USAGE)
    no_core_dumps()
    boot = read(rest[0])
    environment = environment_of(boot, for_httpd() if httpd else passed(FROM_TERMINAL))
    try:
        os.chdir(boot["cwd"])
    except OSError as error:
        fail(NOT_RUN, f"cannot enter {boot['cwd']}: {error.strerror}")
    execute([os.fsencode(word) for word in rest[2:]], environment)


def no_core_dumps() -> None:
    """A core dump would hold the environment. One byte is what the kernel takes for "neither to a
    file nor to a program", of which one writes the environment into the journal."""
    with contextlib.suppress(ValueError, OSError):  # None are allowed already.
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))


def read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib would be most of what is imported
            boot: dict[str, Any] = json.loads(file.read())
    except (OSError, ValueError) as error:
        # A broken file's content stays out of it: it holds secrets.
        said = error.strerror if isinstance(error, OSError) else "it is no JSON"
        fail(NOT_RUN, f"cannot read {path}: {said}")
    return boot


def for_httpd() -> dict[bytes, bytes]:
    return FRUGAL | passed(FROM_SYSTEMD)


def passed(names: tuple[bytes, ...]) -> dict[bytes, bytes]:
    return {name: os.environb[name] for name in names if name in os.environb}


def environment_of(boot: dict[str, Any], beside: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The site's environment as bytes. What is given beside it gives way where the site says
    otherwise, except for what is systemd's."""
    site = {to_bytes(name): to_bytes(value) for name, value in boot["env"].items()}
    systemds = {name: value for name, value in beside.items() if name in FROM_SYSTEMD}
    return {**beside, **site, **systemds}


def execute(words: list[bytes], environment: dict[bytes, bytes]) -> NoReturn:
    """Become the first candidate that is a program."""
    name = os.fsdecode(words[0])
    denied = ""
    for program in candidates(words[0], environment):
        try:
            os.execve(program, words, environment)
        except OSError as error:
            if error.errno == errno.E2BIG:
                fail(NOT_RUN, f"{name}: its arguments and environment are too long together")
            if error.errno not in (errno.ENOENT, errno.ENOTDIR) and not os.path.isdir(program):  # noqa: PTH112
                denied = denied or f"{os.fsdecode(program)}: {reason(error)}"
            elif os.path.isfile(program):  # noqa: PTH113
                denied = denied or f"{os.fsdecode(program)}: what its first line names is not there"
    if denied:
        fail(NOT_RUN, f"cannot run {denied}")
    where = "" if b"/" in words[0] else " in the site's environment (venv, then PATH)"
    fail(NOT_FOUND, f"there is no program {name}{where}")


def candidates(word: bytes, environment: dict[bytes, bytes]) -> list[bytes]:
    """Where a program may be: as it is written if that is a path, or else in the venv and PATH."""
    if b"/" in word:
        return [word]
    venv = environment.get(b"VIRTUAL_ENV")
    folders = [os.path.join(venv, b"bin")] if venv else []  # noqa: PTH118
    # An empty part would be the current folder: the code, where nobody expects programs.
    folders += [part for part in environment.get(b"PATH", b"").split(b":") if part]
    return [os.path.join(folder, word) for folder in folders]  # noqa: PTH118


def reason(error: OSError) -> str:
    if error.errno == errno.ENOEXEC:
        return "it has no first line such as #!/bin/sh"
    if error.errno == errno.EACCES:
        return "it is not executable for this user"
    return error.strerror or str(error)


def to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def fail(code: int, text: str) -> NoReturn:
    line = f"hostel: {text}\n".encode("utf-8", "backslashreplace")
    os.write(2, line)
    raise SystemExit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
