"""Loads an app just as httpd will, in a process of its own, and says in one line how it went.

Stands alone and is run by the site's own Python as `check.py BOOT_JSON [MARK [SECONDS]]`; loads
through the wsgi.py beside that boot.json, for so many seconds. Sends no request to the app.
"""

from __future__ import annotations

import _thread
import importlib.util
import inspect
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

GONE_MODULES = frozenset(
    (
        "urllib2",
        "urlparse",
        "ConfigParser",
        "StringIO",
        "cStringIO",
        "cPickle",
        "Queue",
        "httplib",
        "HTMLParser",
        "Cookie",
        "cookielib",
        "SocketServer",
        "commands",
        "__builtin__",
        "Tkinter",
    )
)
GONE_NAMES = frozenset(
    ("basestring", "unicode", "xrange", "raw_input", "long", "unichr", "execfile", "reduce")
)
GONE_SYNTAX = re.compile(
    r"^\s*print\s+[^(=\s]|^\s*print\s*>>|^\s*except\s+[\w.()]+\s*,\s*\w+\s*:|"
    r"^\s*raise\s+[\w.]+\s*,|^\s*exec\s+[\"'\w]|<>|`\w+`|\b0[0-7]+\b|\b[uU][rR][\"']"
)
GONE_MESSAGES = re.compile(
    r"Missing parentheses in call to|multiple exception types must be parenthesized|"
    r"leading zeros in decimal integer|has no attribute '(?:iteritems|itervalues|has_key)'|"
    r"for >>: 'builtin_function_or_method'"
)
FACTORY_NAME = re.compile(r"(create|make|get|build)_|factory")

OWN = frozenset(("wsgi.py", "load.py", "faithful.py", "check.py"))
"""Hostel's own files, where they lie beside a boot.json."""


def main(boot_json: Path, mark: str, seconds: float = 0) -> None:
    """Load the app and print the verdict, after `mark`, where stdout was."""
    sys.stdout.flush()
    out = os.dup(1)
    os.dup2(2, 1)
    began = time.monotonic()
    boot = json.loads(boot_json.read_bytes())
    wsgi = _sibling(boot_json)
    if seconds:
        here = _thread.get_ident()
        _thread.start_new_thread(lambda: end(out, mark, slow(here, seconds, Path(boot["cwd"]))), ())
    try:
        verdict = examine(wsgi.start(boot_json), boot["app"], wsgi.loading.kind)
    except BaseException as error:
        verdict = failed(error, Path(boot["cwd"]))
    verdict["seconds"] = round(time.monotonic() - began, 3)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
    end(out, mark, verdict)


def slow(thread: int, seconds: float, code: Path) -> dict[str, Any]:
    """The verdict on an app that is not loaded after so many seconds: where it is then."""
    time.sleep(seconds)
    stack = traceback.extract_stack(sys._current_frames()[thread])
    lines = ["It was here, the innermost last:", *frames(stack, code)]
    message = f"its import did not end within {seconds:g} s"
    return _problem("slow", message, traceback="\n".join(lines))


def end(out: int, mark: str, verdict: dict[str, Any]) -> None:
    """Print the verdict and end the process."""
    line = f"\n{mark}{json.dumps(verdict)}\n".encode()
    while line:
        line = line[os.write(out, line) :]
    # Threads and exit handlers the app has started have no say in when the check ends.
    os._exit(0)


def _sibling(boot_json: Path) -> Any:
    spec = importlib.util.spec_from_file_location("hostel_boot", boot_json.with_name("wsgi.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hostel_boot"] = module
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    spec.loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


def examine(app: Any, name: str, kind_of: Callable[[Any], str]) -> dict[str, Any]:
    """Whether a loaded object can be called as a WSGI app, as far as looking at it tells."""
    kind = kind_of(app)
    expression = name.partition(":")[2] or "application"
    if is_asgi(app):
        return _problem("asgi", f"{expression} is an ASGI app ({kind})")
    if not callable(app):
        return _problem("not-callable", f"{expression} is {kind}, which cannot be called")
    problem = _shape(app, expression)
    if problem is not None:
        return problem
    return {"ok": True, "app": f"{name} ({kind})", "kind": kind}


def is_asgi(app: Any) -> bool:
    """Whether calling it gives a coroutine, or it takes what an ASGI app takes."""
    call = inspect.getattr_static(type(app), "__call__", None)
    if inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(app):
        return True
    try:
        names = tuple(inspect.signature(app).parameters)
    except (TypeError, ValueError):
        return False
    return names[-3:] == ("scope", "receive", "send")


def _shape(app: Any, expression: str) -> dict[str, Any] | None:
    """What is wrong with its parameters: a factory takes none, or has defaults for all."""
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return None
    parameters = signature.parameters.values()
    variadic = any(one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in parameters)
    takes_none, takes_two = _binds(signature), _binds(signature, None, None)
    if takes_none and not takes_two:
        return _problem("needs-factory-call", f"{expression}{signature} is a factory, not an app")
    named = FACTORY_NAME.search(getattr(app, "__name__", ""))
    if takes_none and inspect.isfunction(app) and (named or not variadic):
        return _problem("needs-factory-call", f"{expression}{signature} is a factory, not an app")
    if not takes_two:
        what = f"{expression}{signature} does not take (environ, start_response)"
        return _problem("wrong-signature", what)
    return None


def _binds(signature: inspect.Signature, *arguments: None) -> bool:
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def failed(error: BaseException, code: Path) -> dict[str, Any]:
    """The verdict on an app that raised instead of being loaded."""
    if type(error).__name__ == "Unfit" and hasattr(error, "problem"):
        candidates = list(getattr(error, "candidates", ()))
        return _problem(error.problem, str(error), candidates=candidates)
    problem = classify(error)
    message = _line(error)
    verdict = _problem(problem, message, traceback=story(error, code))
    if isinstance(error, ModuleNotFoundError) and error.name:
        verdict["module"] = error.name
    return verdict


def classify(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "exit"
    if isinstance(error, SyntaxError):
        old = GONE_MESSAGES.search(str(error)) or GONE_SYNTAX.search(error.text or "")
        return "python2" if old else "syntax-error"
    if isinstance(error, NameError) and error.name in GONE_NAMES:
        return "python2"
    if isinstance(error, (AttributeError, TypeError)) and GONE_MESSAGES.search(str(error)):
        return "python2"
    if isinstance(error, ModuleNotFoundError):
        return "python2" if error.name in GONE_MODULES else "no-module"
    return "import-error"


def story(error: BaseException, code: Path) -> str:
    """The traceback with the app's own frames; those of others are only counted."""
    parts, seen = [], set[int]()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        stack = traceback.extract_tb(current.__traceback__)
        lines = [*frames(stack, code), *_words(current, code)]
        parts.append("\n".join(lines))
        follow = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or follow
    return "\n\nand because of that:\n\n".join(reversed(parts))


def frames(stack: Iterable[traceback.FrameSummary], code: Path) -> list[str]:
    """One entry a frame of the app's, one line for each run of frames in a package."""
    lines: list[str] = []
    run, count = "", 0
    for frame in [*stack, None]:
        owner = "" if frame is None else owner_of(frame.filename, code)
        if frame is not None and owner is None:
            continue
        if count and owner != run:
            lines.append(f"  ... {count} frame{'s' if count > 1 else ''} in {run}")
            count = 0
        run = owner or ""
        if frame is not None and owner == "":
            lines.append(
                f'  File "{_within(frame.filename, code)}", line {frame.lineno}, in {frame.name}'
            )
            if frame.line:
                lines.append(f"    {frame.line}")
        elif frame is not None:
            count += 1
    return lines


def owner_of(filename: str, code: Path) -> str | None:
    """Whose file this is: "" the app's, a package's name, None for the machinery of imports."""
    if filename.startswith(("<frozen importlib", "<frozen runpy", "<string>", "<stdin>")):
        return None
    path = Path(filename)
    if path.name in OWN and path.with_name("boot.json").exists():
        return None
    for marker in ("site-packages", "dist-packages"):
        if marker in path.parts:
            package = path.parts[path.parts.index(marker) + 1]
            return package.removesuffix(".py")
    if path.is_relative_to(code):
        return ""
    library = str(Path(os.__file__).parent)
    if "importlib" in path.parts and filename.startswith(library):
        return None
    return "Python's library" if filename.startswith((library, "<frozen")) else ""


def _within(filename: str, code: Path) -> str:
    path = Path(filename)
    return str(path.relative_to(code)) if path.is_relative_to(code) else filename


def _words(error: BaseException, code: Path) -> list[str]:
    text = "".join(traceback.format_exception_only(type(error), error))
    return text.replace(f"{code}/", "").rstrip().splitlines()[:40]


def _line(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r}) while it was imported"
    if isinstance(error, SyntaxError):
        where = f"{Path(error.filename).name}, line {error.lineno}" if error.filename else ""
        return f"{type(error).__name__}: {error.msg}" + (f" ({where})" if where else "")
    first = str(error).strip().splitlines()
    return f"{type(error).__name__}: {first[0]}" if first else type(error).__name__


def _problem(problem: str, message: str, **more: Any) -> dict[str, Any]:
    return {"ok": False, "problem": problem, "message": message, **more}


if __name__ == "__main__":
    given = [*sys.argv[2:], ""]
    main(Path(sys.argv[1]), given[0], float(given[1]) if len(given) > 2 else 0)
