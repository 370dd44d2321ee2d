"""The bare tree: a small Debian 12 that reaches the host's package servers in the host's own way.

Mirrors, proxies and certificate authorities of this host go into it, whatever they are; none is
named here.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .host import must
from .store import Layer, digest, obtain

SUITE = "bookworm"
PACKAGES = (
    *("ca-certificates", "curl", "dbus", "iproute2", "less", "openssl", "procps"),
    *("python3", "python3-venv", "systemd", "systemd-sysv"),
)
SIZE = "16G"
INIT = "/usr/local/sbin/machine-init"
INIT_TEXT = """\
#!/bin/sh
# On cgroup v1, systemd-nspawn mounts these read-only, and then no limit of a unit holds.
for controller in memory pids cpu cpuacct cpu,cpuacct blkio devices; do
    [ ! -d "/sys/fs/cgroup/$controller" ] || mount -o remount,bind,rw "/sys/fs/cgroup/$controller"
done
# systemd-nspawn ties only its own first child to its life, not what that starts.
exec setpriv --pdeathsig KILL /lib/systemd/systemd "$@"
"""
# Nothing may take apt's lock at a moment of its own choice.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer")
AUTHORITIES = Path("/usr/local/share/ca-certificates")
PASSED = re.compile(
    r"(https?|all|no)_proxy|UV_(.*INDEX.*|FIND_LINKS|.*_CERTS|INSECURE_HOST)", re.IGNORECASE
)
"""Variables of the host without which uv would not reach an index from inside."""


def bare() -> Layer:
    """Debian as it comes, with systemd, Python, curl and little else."""
    settings = Settings.of_host()
    key = digest(SUITE, PACKAGES, SIZE, INIT_TEXT, MASKED, settings)
    return obtain("bare", key, lambda image: _build(image, settings), binds=settings.binds)


@dataclass(frozen=True)
class Settings:
    """How this host reaches packages: contents of files, told apart by content alone."""

    sources: tuple[tuple[str, str], ...]
    apt: str
    files: tuple[tuple[str, str], ...]
    binds: tuple[str, ...]

    @classmethod
    def of_host(cls) -> Settings:
        pip, named = pip_settings(_pip_lines(), os.environ)
        files = {"/etc/pip.conf": pip}
        for path in map(Path, named):
            if path.is_file() and not path.is_relative_to("/etc/ssl"):
                files[str(path)] = path.read_text()
        for uv in (Path.home() / ".config/uv/uv.toml", Path("/etc/uv/uv.toml")):
            if uv.is_file():
                files.setdefault("/etc/uv/uv.toml", uv.read_text())
        for authority in sorted(AUTHORITIES.glob("*.crt")):
            files[str(authority)] = authority.read_text()
        binds = {_mirror_of(path) for path in named if Path(path).is_dir()} - {"/", ""}
        return cls(tuple(_sources()), _apt_options(), tuple(files.items()), tuple(sorted(binds)))


def passed_on() -> dict[str, str]:
    """What a command inside gets of the host's environment: the way to package indexes."""
    return {name: value for name, value in os.environ.items() if PASSED.fullmatch(name)}


def _sources() -> Iterator[tuple[str, str]]:
    """The host's own sources of this Debian, not of what else it installs."""
    apt = Path("/etc/apt")
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    for file in files:
        if file.suffix not in (".list", ".sources") or not file.is_file():
            continue
        text = file.read_text()
        if SUITE in text and re.search(r"/debian(-security)?/?(\s|$)", text):
            yield file.name, text


def _apt_options() -> str:
    mine = re.compile(r"Acquire::(?!IndexTargets|Changelogs|cdrom|CompressionTypes)")
    lines = [line for line in must(["apt-config", "dump"]).splitlines() if mine.match(line)]
    for scheme in ("http", "https"):
        if proxy := os.environ.get(f"{scheme}_proxy"):
            lines.append(f'Acquire::{scheme}::Proxy "{proxy}";')
    return "\n".join(lines) + "\n"


def _pip_lines() -> str:
    argv = [sys.executable, "-m", "pip", "config", "list"]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60).stdout


def pip_settings(listed: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """A pip.conf for all users from `pip config list`, and the paths that it names."""
    sections: dict[str, dict[str, str]] = {"global": {}}
    variables: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        if name.startswith(":env:."):
            variables[name.removeprefix(":env:.")] = ast.literal_eval(value)
        else:
            section, _, key = name.partition(".")
            sections.setdefault(section, {})[key] = ast.literal_eval(value)
    sections["global"] |= variables  # as in pip, variables win over files
    sections["global"].pop("config-file", None)
    proxy = environ.get("https_proxy") or environ.get("HTTPS_PROXY")
    if proxy:
        sections["global"].setdefault("proxy", proxy)
    text, named = "", []
    for section, values in sections.items():
        text += f"[{section}]\n"
        for key, value in values.items():
            text += f"{key} = {value.replace(chr(10), chr(10) + '    ')}\n"
            words = [word.removeprefix("file://") for word in value.split()]
            named += [word for word in words if word.startswith("/")]
    return text, sorted(set(named))


def _mirror_of(path: str) -> str:
    """An index links to the files beside it."""
    return path.rstrip("/").removesuffix("/simple")


def _build(image: Path, settings: Settings) -> None:
    """mmdebstrap into a folder, then a file system made of it: nothing is mounted."""
    with tempfile.TemporaryDirectory(dir=image.parent, prefix="bare-") as name:
        work, tree = Path(name), Path(name) / "disk" / "upper"
        tree.parent.mkdir()
        (work / "apt.conf").write_text(settings.apt)
        sources = []
        for file, text in settings.sources:
            (work / file).write_text(text)
            sources.append(work / file)
        must(
            [
                *("mmdebstrap", "--mode=root", "--format=directory", "--variant=minbase"),
                *(f"--include={','.join(PACKAGES)}", f"--aptopt={work / 'apt.conf'}"),
                *(SUITE, str(tree), *map(str, sources)),
            ],
            timeout=1800,
        )
        tree.chmod(0o755)
        _settle(tree, settings)
        must(["truncate", "-s", SIZE, image])
        must(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard", "-d", tree.parent, image])


def _settle(tree: Path, settings: Settings) -> None:
    for path, text in settings.files:
        file = tree / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    must(["chroot", tree, "update-ca-certificates"])
    (tree / "etc/default/locale").write_text("LANG=C.UTF-8\n")
    for unit in MASKED:
        (tree / "etc/systemd/system" / unit).symlink_to("/dev/null")
    init = tree / INIT.lstrip("/")
    init.write_text(INIT_TEXT)
    init.chmod(0o755)
    shutil.rmtree(tree / "var/cache/apt/archives", ignore_errors=True)
    (tree / "var/cache/apt/archives/partial").mkdir(parents=True)
