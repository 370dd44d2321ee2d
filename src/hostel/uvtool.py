"""Running uv, which makes environments and installs into them.

Gives it an environment without surprises and explains its failures; decides nothing about what
is installed where.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hostel.errors import HostelError
from hostel.machine import Machine, Ran, remedy_for

KEPT_NAMES = """
HOME USER LOGNAME PATH TMPDIR LD_LIBRARY_PATH NETRC
XDG_CACHE_HOME XDG_CONFIG_HOME XDG_CONFIG_DIRS XDG_DATA_HOME
SSL_CERT_FILE SSL_CERT_DIR SSL_CLIENT_CERT GIT_SSL_CAINFO SSH_AUTH_SOCK
CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS PKG_CONFIG_PATH MACOSX_DEPLOYMENT_TARGET
UV_CACHE_DIR UV_FIND_LINKS UV_EXTRA_INDEX_URL UV_OFFLINE UV_NATIVE_TLS UV_SYSTEM_CERTS
UV_HTTP_TIMEOUT UV_HTTP_RETRIES UV_INSECURE_HOST UV_KEYRING_PROVIDER UV_CONFIG_FILE
UV_PYTHON_INSTALL_DIR UV_PYTHON_CACHE_DIR UV_CONCURRENT_BUILDS UV_CONCURRENT_DOWNLOADS
UV_CONSTRAINT UV_BUILD_CONSTRAINT UV_EXCLUDE_NEWER
"""
KEPT = frozenset(KEPT_NAMES.split())
"""What uv keeps of the caller's environment: where to find things, never what to do.

VIRTUAL_ENV, UV_PROJECT_ENVIRONMENT, UV_PYTHON, PYTHONPATH and their like would turn it to another
environment than ours.
"""

KEPT_BEGINNINGS = ("UV_INDEX", "UV_DEFAULT_INDEX")
PROXIES = frozenset(("http_proxy", "https_proxy", "all_proxy", "no_proxy"))

OFFLINE = re.compile(
    r"are you offline|dns error|failed to lookup|client error \(Connect\)|connection refused|"
    r"network is unreachable|operation timed out|tunnel error|network connectivity is disabled|"
    r"the network was disabled|request failed after",
    re.IGNORECASE,
)
MISSING = re.compile(r"Because ([\w.-]+(?:==\S+)?) was not found in the package registry")
NO_VERSION = re.compile(r"Because there is no version of (\S+)")
NO_HEADER = re.compile(r"fatal error: (\S+\.h): No such file")
NOT_BUILT = re.compile(r"Failed to build `?([^`\s]+)`?")
NO_COMPILER = re.compile(
    r"command '\S*(?:gcc|cc|clang)' failed: No such file|unable to execute '\S*cc'"
)


def find() -> Path:
    """uv's program: the one that came with Hostel, else the one on PATH."""
    with contextlib.suppress(ImportError, FileNotFoundError):
        import uv

        return Path(uv.find_uv_bin())
    found = shutil.which("uv")
    if found is None:
        raise HostelError(
            "looking for uv", "it is not installed", "Install Hostel again: it brings uv along."
        )
    return Path(found)


def environment(caller: Mapping[str, str]) -> dict[str, str]:
    """The part of the caller's environment that uv may see."""
    kept = {
        name: value
        for name, value in caller.items()
        if name in KEPT or name.lower() in PROXIES or name.startswith(KEPT_BEGINNINGS)
    }
    # The machine's own certificates: behind a company's proxy only they are right.
    ours = {"UV_SYSTEM_CERTS": caller.get("UV_SYSTEM_CERTS", "1")}
    return {**kept, **ours, "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "UV_NO_PROGRESS": "1"}


def run(
    machine: Machine,
    arguments: Sequence[str],
    *,
    cwd: Path,
    extra: Mapping[str, str] | None = None,
    timeout: float = 1800,
) -> Ran:
    """Run uv to its end. What it makes is readable for all, whatever the caller's umask."""
    env = {**environment(os.environ), **(extra or {})}
    with plain_umask():
        return machine.run([str(find()), *arguments], env=env, cwd=cwd, timeout=timeout)


@contextlib.contextmanager
def plain_umask() -> Iterator[None]:
    """022 for as long as this lasts: the process is ours alone, so nobody else is changed."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def failure(doing: str, ran: Ran, remedy: str = "") -> HostelError:
    """uv's own words as an error, with what to do about the kinds that people meet."""
    said = ran.err or ran.out
    happened, advice = explain(said)
    return HostelError(doing, happened, advice or remedy, "\n".join(short(said)))


def explain(said: str) -> tuple[str, str]:
    """What happened, in one line, and a remedy or "", from what uv wrote."""
    flat = " ".join(re.sub(r"[│╰├─▶×]", " ", said).split())
    if OFFLINE.search(flat):
        return (
            "the package index cannot be reached",
            "Check the network and the proxy settings (HTTPS_PROXY, UV_DEFAULT_INDEX), "
            "then run the same command again.",
        )
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        lines = [text for text in short(said) if os.strerror(number) in text]
        if lines:
            happened = lines[-1].strip().removeprefix("error:").removeprefix("Caused by:").strip()
            return happened, remedy_for(OSError(number, os.strerror(number)))
    if found := MISSING.search(flat):
        return (
            f"there is no package {found[1]}",
            f"Check the name {found[1]} in your requirements; a package of your own must be "
            "reachable by a path or an index.",
        )
    if found := NO_VERSION.search(flat):
        return (
            f"there is no version {found[1]}",
            "Ask for a version that exists, or leave the version out.",
        )
    built = NOT_BUILT.search(flat)
    if built or "build backend returned an error" in flat:
        package = built[1] if built else "a package"
        return f"{package} cannot be built", _build_remedy(flat, package)
    lines = [text for text in short(said) if text.startswith("error:")]
    line = lines[-1].removeprefix("error:").strip() if lines else (short(said) or ["uv failed"])[-1]
    return line, ""


def _build_remedy(flat: str, package: str) -> str:
    if NO_COMPILER.search(flat):
        return "Install a compiler: apt-get install build-essential"
    if found := NO_HEADER.search(flat):
        return f"Install the package of your system that has {found[1]} (its name ends in -dev)."
    if "pg_config" in flat:
        return "Use psycopg[binary], or: apt-get install libpq-dev"
    if "pkg-config" in flat:
        return "Install the system library it looks for, with the package that ends in -dev."
    return f"Choose a version of {package} that supports this Python, or see its build notes."


def short(said: str, limit: int = 15) -> list[str]:
    """The lines of uv's output that say something, the last `limit` of them."""
    noise = ("Using ", "Resolved ", "Prepared ", "Building ", "Downloading ", "warning: ")
    # A hint of uv's comes last and speaks of uv's own options.
    told = said.partition("\nhint:")[0]
    lines = [line.rstrip() for line in told.splitlines() if line.strip()]
    return [line for line in lines if not line.strip().startswith(noise)][-limit:]
