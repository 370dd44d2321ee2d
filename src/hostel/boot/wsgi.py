"""What httpd runs: settles the process as boot.json beside this file says, then loads the app.

Stands alone, since it is copied beside its boot.json, with load.py and faithful.py, and run by the
site's own Python. It writes nothing but, in a systemd unit, whether the app could be loaded. It is
in the memory of every process of every site: what only some need is imported where they need it.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType
    from typing import Any

PLAIN_NAMES = frozenset(
    ("HOME", "USER", "LOGNAME", "PATH", "LANG", "TZ", "VIRTUAL_ENV", "DATA_DIR", "PGDATABASE")
)
"""Variables of Hostel's own that are no secrets: what an error says of them stays readable."""

MOST_KILLED = 3
"""Processes that may vanish while they import the app before the start has failed."""


def beside(name: str) -> ModuleType:
    """The module in a file beside this one, which no import of the app's can find: the folder is
    not on sys.path. Nor is anything written into the folder."""
    path = os.path.join(os.path.dirname(__file__), f"{name}.py")  # noqa: PTH118, PTH120
    module = type(sys)(f"hostel_{name}")
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib is not worth its memory here
        exec(compile(file.read(), path, "exec"), vars(module))
    return module


loading = beside("load")


def start(boot_json: str | Path) -> Any:
    """Settle this process and return the app that `boot_json` names."""
    # What crashes says where, in Python's own lines. sys.stderr may be an object of mod_wsgi's.
    faulthandler.enable(2, all_threads=False)
    with open(boot_json, "rb") as file:  # noqa: PTH123
        boot = json.loads(file.read())
    settle(boot)
    return loading.load(boot["app"], boot["cwd"])


def serve(boot_json: str | Path) -> Any:
    """The app for httpd. A unit in which this runs is ready with the first that is loaded, and
    ends if that fails before any was; without a unit nothing is told to anybody."""
    # Before the environment is settled: the app must not speak in our place.
    address, folder = os.environ.get("NOTIFY_SOCKET", ""), os.environ.get("RUNTIME_DIRECTORY", "")
    if not (address and folder):
        return beside("faithful").faithful(start(boot_json))
    ready = os.path.join(folder, "ready")  # noqa: PTH118
    try:
        if not os.path.exists(ready):  # noqa: PTH110
            note_attempt(folder)
        app = beside("faithful").faithful(start(boot_json))
    except BaseException as error:
        notify(address, f"STATUS={one_line(error)}")
        if not os.path.exists(ready):  # noqa: PTH110
            end_httpd()
        raise
    touch(ready)
    # That this process serves too: a switch waits for all of them.
    touch(os.path.join(folder, f"loaded-{os.getpid()}"))  # noqa: PTH118
    notify(address, "READY=1\nSTATUS=The app is loaded.")
    return app


def note_attempt(folder: str) -> None:
    """Leave a mark of this process, and give up where too many that left one are gone.

    A process that is killed in its import, for the memory it takes say, can tell nobody, and httpd
    makes another one in silence.
    """
    touch(os.path.join(folder, f"loading-{os.getpid()}"))  # noqa: PTH118
    marks = [name[8:] for name in os.listdir(folder) if name.startswith("loading-")]  # noqa: PTH208
    gone = [pid for pid in marks if not os.path.exists(f"/proc/{pid}")]  # noqa: PTH110
    if len(gone) >= MOST_KILLED:
        raise loading.Unfit(
            "killed",
            f"{len(gone)} processes were killed, or crashed, while they imported the app: it may "
            "need more memory than it is allowed",
        )


def touch(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o640))


def notify(address: str, text: str) -> None:
    """Send a message to systemd, as sd_notify does; one that cannot be sent is let go."""
    import _socket  # What `socket` imports would stay in memory.

    path = f"\0{address[1:]}" if address.startswith("@") else address
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        channel.sendto(text.encode("utf-8", "replace"), path)
    except OSError as error:
        sys.stderr.write(f"Hostel: systemd could not be told: {error}\n")
    finally:
        channel.close()


def one_line(error: BaseException) -> str:
    """Class and message of an exception, for a place that has one line and that anybody may read:
    what could be a secret of the environment is left out."""
    try:
        said = str(error)
    except Exception:
        said = ""
    for name, value in os.environ.items():
        if len(value) >= 6 and name not in PLAIN_NAMES and not name.startswith("HOSTEL_"):
            said = said.replace(value, "***")
    named = "" if isinstance(error, loading.Unfit) else loading.kind(error) + (": " if said else "")
    words = "".join(char if char.isprintable() else " " for char in f"{named}{said}").split()
    line = " ".join(words)
    return line if len(line) <= 200 else f"{line[:197]}..."


def end_httpd() -> None:
    """End the server, whose start has failed: it would go on with an error for each request.

    A little later, so that mod_wsgi can still write into the error log why.
    """
    import threading

    threading.Timer(0.5, os.kill, (os.getppid(), 15)).start()


def settle(boot: dict[str, Any]) -> None:
    """Make environment, folder, arguments and sys.path exactly what the site says."""
    wanted = {_bytes(name): _bytes(value) for name, value in boot["env"].items()}
    for name in [name for name in os.environb if name not in wanted]:
        del os.environb[name]
    # As bytes: what the app sees is what was written, whatever locale this process began in.
    os.environb.update(wanted)
    os.chdir(boot["cwd"])
    sys.argv[:] = boot["argv"]
    loading.first(*boot["path"])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# mod_wsgi runs this file under a name of its own; everyone else imports it.
if __name__.startswith("_mod_wsgi_"):
    application = serve(os.path.join(os.path.dirname(__file__), "boot.json"))  # noqa: PTH118, PTH120
