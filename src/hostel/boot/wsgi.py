"""What httpd runs: settles the process as boot.json beside this file says, then loads the app.

Stands alone, since it is copied beside its boot.json and run by the site's own Python. It writes
nothing but, in a systemd unit, whether the app could be loaded; of a request it mends what
mod_wsgi leaves wrong, no more. It is in the memory of every process of every site: what only some
apps need is imported where they need it.
"""

from __future__ import annotations

import faulthandler
import importlib
import importlib.machinery
import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from pathlib import Path
    from types import CodeType, ModuleType
    from typing import Any

USUAL_NAMES = ("application", "app")
"""What the callable is called where nobody says."""

PLAIN_NAMES = frozenset(
    ("HOME", "USER", "LOGNAME", "PATH", "LANG", "TZ", "VIRTUAL_ENV", "DATA_DIR", "PGDATABASE")
)
"""Variables of Hostel's own that are no secrets: what an error says of them stays readable."""

MOST_KILLED = 3
"""Processes that may vanish while they import the app before the start has failed."""


class Unfit(Exception):
    """The app cannot be had, for a reason that is no error inside the app itself."""

    def __init__(self, problem: str, message: str, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problem = problem
        self.message = message
        self.candidates = candidates


class FreshLoader(importlib.machinery.SourceFileLoader):
    """Always compiles the source: an app.wsgi would share the cached bytecode of an app.py."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def start(boot_json: str | Path) -> Any:
    """Settle this process and return the app that `boot_json` names."""
    # What crashes says where, in Python's own lines. sys.stderr may be an object of mod_wsgi's.
    faulthandler.enable(2, all_threads=False)
    with open(boot_json, "rb") as file:  # noqa: PTH123 - pathlib is not worth its memory here
        boot = json.loads(file.read())
    settle(boot)
    return load(boot["app"], boot["cwd"])


def serve(boot_json: str | Path) -> Any:
    """The app for httpd. A unit in which this runs is ready with the first that is loaded, and
    ends if that fails before any was; without a unit nothing is told to anybody."""
    # Before the environment is settled: the app must not speak in our place.
    address, folder = os.environ.get("NOTIFY_SOCKET", ""), os.environ.get("RUNTIME_DIRECTORY", "")
    if not (address and folder):
        return faithful(start(boot_json))
    ready = os.path.join(folder, "ready")  # noqa: PTH118
    try:
        if not os.path.exists(ready):  # noqa: PTH110
            note_attempt(folder)
        app = faithful(start(boot_json))
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
        raise Unfit(
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
    named = "" if isinstance(error, Unfit) else kind(error) + (": " if said else "")
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
    first(*boot["path"])


def first(*folders: str) -> None:
    """Put these folders at the beginning of sys.path, in this order."""
    sys.path[:] = [*folders, *(one for one in sys.path if one not in folders)]


def load(app: str, root: str | Path) -> Any:
    """The object that "module:callable", "module:factory()" or "file.py:callable" names."""
    where, _, expression = app.partition(":")
    # "mysite.wsgi:application" is a module; a file of that ending is written "./mysite.wsgi".
    is_file = where.endswith(".py") or "/" in where or (where.endswith(".wsgi") and not expression)
    module = load_file(root, where) if is_file else load_module(where)
    if expression:
        return evaluate(expression, module)
    for name in USUAL_NAMES:
        if hasattr(module, name):
            return getattr(module, name)
    raise Unfit(
        "no-callable",
        f"{_origin(module)} has neither {' nor '.join(USUAL_NAMES)}",
        names_in(module),
    )


def load_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only if it is this module that is missing, not one that it imports.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise Unfit("no-app-module", f'there is no module "{error.name}"') from None
    except (ValueError, TypeError) as error:
        raise Unfit("no-app-module", f'"{name}" cannot be imported: {error}') from None


def load_file(root: str | Path, where: str) -> ModuleType:
    """Import a file under the name it would have for others, so that it is loaded only once."""
    import importlib.util
    from pathlib import Path

    path = Path(root, where)
    if not path.is_file():
        raise Unfit("no-app-file", f"there is no file {path.name} in {path.parent}")
    base, parts = path.parent, [path.stem]
    while (base / "__init__.py").exists() and base.name.isidentifier():
        parts.insert(0, base.name)
        base = base.parent
    if parts[-1] == "__init__":
        parts.pop()
    if path.suffix == ".py" and parts and all(part.isidentifier() for part in parts):
        if str(base) not in sys.path:
            first(str(base))
        name = ".".join(parts)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin and Path(spec.origin).resolve() == path.resolve():
            return importlib.import_module(name)
    return _load_unnamed(path)


def _load_unnamed(path: Path) -> ModuleType:
    """A file that no import finds: a .wsgi file, or one named like a module of Python's own."""
    import importlib.util

    name = "hostel_site_" + "".join(char if char.isalnum() else "_" for char in path.stem)
    loader = FreshLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def evaluate(expression: str, module: ModuleType) -> Any:
    """A name, an attribute of one, or a call of either with literal arguments."""
    if expression.isidentifier():
        return _member(module, expression)
    import ast

    try:
        node = ast.parse(expression, mode="eval").body
    except SyntaxError:
        raise Unfit("bad-name", f'"{expression}" is no name of a callable') from None
    if not isinstance(node, ast.Call):
        return _attribute(node, expression, module)
    try:
        arguments = [ast.literal_eval(one) for one in node.args]
        named = {one.arg or "": ast.literal_eval(one.value) for one in node.keywords}
    except ValueError:
        raise Unfit("bad-name", f'"{expression}": only literal arguments can be given') from None
    factory = _attribute(node.func, expression, module)
    if not callable(factory):
        raise Unfit("not-callable", f"{ast.unparse(node.func)} is no function: {kind(factory)}")
    return factory(*arguments, **named)


def _attribute(node: ast.expr, expression: str, module: ModuleType) -> Any:
    import ast

    if isinstance(node, ast.Name):
        owner: Any = module
        name = node.id
    elif isinstance(node, ast.Attribute):
        owner = _attribute(node.value, expression, module)
        name = node.attr
    else:
        raise Unfit("bad-name", f'"{expression}" is no name of a callable')
    return _member(owner, name)


def _member(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        module = isinstance(owner, type(sys))
        where = _origin(owner) if module else kind(owner)
        raise Unfit("no-callable", f'{where} has no "{name}"', names_in(owner)) from None


def names_in(owner: Any) -> tuple[str, ...]:
    """Public names that could be an app or a factory: callable, and made here rather than
    imported classes of a framework."""
    found = []
    for name, value in vars(owner).items() if hasattr(owner, "__dict__") else ():
        if name.startswith("_") or not callable(value) or isinstance(value, type):
            continue
        home = getattr(value, "__module__", None)
        if not hasattr(value, "__name__") or home == getattr(owner, "__name__", None):
            found.append(name)
    return tuple(found)


def kind(value: Any) -> str:
    """The type of a value, with its module where that says something."""
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"


def _origin(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    return f"{module.__name__} ({file})" if file else f"{module.__name__}, a folder of no code,"


def faithful(app: Any) -> Any:
    """The same app, told the path as it was sent, and whose answers arrive as what they are.

    mod_wsgi makes one slash of several in PATH_INFO. It prints the traceback that hangs on an
    exception itself, and before Python 3.12 one is hung there only where the exception is caught.
    It lets an answer that fails in its middle pass for a whole one. And over HTTP/2 httpd sends
    a body to HEAD, from the second piece on.
    """

    def application(environ: Any, start_response: Any) -> Any:
        target = environ["REQUEST_URI"]
        if "//" in target or "%2" in target:
            environ["PATH_INFO"] = sent_path(target, environ["PATH_INFO"])
        head = environ["REQUEST_METHOD"] == "HEAD"
        try:
            answer = app(environ, _silent(start_response) if head else start_response)
        except BaseException:
            raise
        kind_of = type(answer)  # A list has no middle to fail in; mod_wsgi's own is a file.
        if kind_of.__module__ == "mod_wsgi" or (kind_of in _WHOLE and not head):
            return answer
        return _Answer(answer, environ, head)

    return application


def _silent(start_response: Any) -> Any:
    def begin(*said: Any) -> Any:
        start_response(*said)
        return lambda _: None

    return begin


_WHOLE = (list, tuple)


def sent_path(target: str, seen: str) -> str:
    """PATH_INFO as the request's target has it, where httpd saw the same but for its slashes.

    So whatever else httpd does to a path, such as to resolve its dots, stays.
    """
    from urllib.parse import unquote_to_bytes

    path = target.partition("?")[0]
    if not path.startswith("/"):  # a whole URL
        path = "/" + path.partition("://")[2].partition("/")[2]
    path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    merged = path
    while "//" in merged:
        merged = merged.replace("//", "/")
    return path if merged == seen else seen


class _Answer:
    """An app's answer, piece by piece. One that fails after its first piece takes the connection
    with it: httpd would go on to the next answer there, and end the stream of HTTP/2 in order."""

    __slots__ = ("answer", "environ", "head")

    def __init__(self, answer: Any, environ: Any, head: bool) -> None:
        self.answer = answer
        self.environ = environ
        self.head = head

    def __iter__(self) -> Any:
        begun = False
        try:
            for piece in self.answer:
                if piece and not self.head:
                    yield piece
                    begun = True
        except GeneratorExit:
            raise
        except BaseException:
            if begun:
                hang_up(self.environ)
            raise

    def close(self) -> None:
        close = getattr(self.answer, "close", None)
        if close is not None:
            close()


def hang_up(environ: dict[str, Any]) -> None:
    """Cut the connection that this request came on.

    It is httpd's, and nothing of mod_wsgi leads to it: it is found among this process's sockets
    by the ports of its two ends. Clients of two addresses may use one port; then the address
    tells them apart. Behind a router REMOTE_ADDR is no end of it, and the ports are enough.
    """
    import socket

    ends = int(environ["mod_wsgi.listener_port"]), int(environ["REMOTE_PORT"])
    by_port, by_address = [], []
    for one in _connections():
        if (one.getsockname()[1], one.getpeername()[1]) == ends:
            by_port.append(one)
            if one.getpeername()[0].removeprefix("::ffff:") == environ["REMOTE_ADDR"]:
                by_address.append(one)
    for one in by_address or (by_port if len(by_port) == 1 else ()):
        one.shutdown(socket.SHUT_RDWR)


def _connections() -> list[Any]:
    """The TCP connections of this process, as sockets that may be closed without closing them."""
    import socket
    import stat

    found = []
    for name in os.listdir("/dev/fd"):  # noqa: PTH208
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                one = socket.socket(fileno=os.dup(int(name)))
                if one.family != socket.AF_UNIX and one.getpeername():
                    found.append(one)
        except OSError:  # closed meanwhile, or no connection
            continue
    return found


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# mod_wsgi runs this file under a name of its own; everyone else imports it.
if __name__.startswith("_mod_wsgi_"):
    application = serve(os.path.join(os.path.dirname(__file__), "boot.json"))  # noqa: PTH118, PTH120
