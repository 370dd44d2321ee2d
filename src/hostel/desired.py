"""What should be, for a site and its release on the private platform. Pure.

Turns decisions already made (the release, the ports, the environment) into states; reads no
file and asks no clock.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from hostel.account import Account
from hostel.instance import Instance, StaticFolder
from hostel.instance_conf import configuration
from hostel.plan import Key, State, key
from hostel.platforms.layout import Layout
from hostel.site import Site
from hostel.site_values import app_parts
from hostel.states import Done, FileState, InstanceState, file_key

INSTANCE = key("instance", "live")
CHECK = key("once", "check")
HOOK = key("hook", "release")


@dataclass(frozen=True)
class Web:
    """The httpd on this machine and what it listens on; `certificate` is key and chain in PEM."""

    binary: Path
    modules_dir: Path
    builtin: frozenset[str]
    addresses: tuple[str, ...]
    http_port: int
    https_port: int
    certificate: bytes | None


@dataclass(frozen=True)
class Code:
    """A release as its parts: where it lies, what runs it, and its static folders."""

    release: str
    code: Path
    venv: Path
    module: Path
    static: tuple[StaticFolder, ...]


@dataclass(frozen=True)
class Wanted:
    """Everything that decides what a site should be."""

    site: Site
    layout: Layout
    runner: Account
    web: Web
    code: Code
    env: dict[str, str]
    boot_scripts: dict[str, bytes]
    processes: int
    threads: int
    database: dict[Key, State]


def generation(wanted: Wanted) -> Path:
    """The folder of the boot files, named by their content; old ones serve until the switch."""
    texts = {**wanted.boot_scripts, "boot.json": boot_json(wanted)}
    marks = {name: sha256(text).hexdigest() for name, text in texts.items()}
    digest = sha256(json.dumps(marks, sort_keys=True).encode()).hexdigest()[:16]
    return wanted.layout.instance / digest


def boot_json(wanted: Wanted) -> bytes:
    """What the app's process needs to know before its first import, environment included."""
    code = wanted.code.code
    return json.dumps(
        {
            "app": wanted.site.app,
            "cwd": str(code),
            "path": [str(code / part) for part in wanted.site.path],
            "argv": [str(app_file(wanted.site, code))],
            "env": wanted.env,
        },
        indent=1,
        sort_keys=True,
    ).encode()


def app_file(site: Site, code: Path) -> Path:
    """What sys.argv[0] says: the file of the app, as if it had been run."""
    parts = app_parts(site.app)
    return code / (parts.file or f"{(parts.module or '').replace('.', '/')}.py")


def desired(wanted: Wanted) -> dict[Key, State]:
    """The states of a site that is up, all it needs included."""
    states: dict[Key, State] = dict(wanted.database)
    boot = generation(wanted)
    runner = wanted.runner
    for name, text in wanted.boot_scripts.items():
        states[file_key(boot / name)] = FileState.of(text, mode=0o444, owner=runner)
    facts = boot / "boot.json"
    states[file_key(facts)] = FileState.of(boot_json(wanted), mode=0o400, owner=runner, secret=True)
    conf = _instance(wanted, boot / "wsgi.py")
    files = [file_key(boot / name) for name in (*wanted.boot_scripts, facts.name)]
    if conf.certificate is not None and wanted.web.certificate is not None:
        states[file_key(conf.certificate)] = FileState.of(
            wanted.web.certificate, mode=0o400, owner=runner, secret=True
        )
        files.append(file_key(conf.certificate))
    httpd = configuration(conf).encode()
    states[file_key(wanted.layout.conf)] = FileState.of(httpd, mode=0o444, owner=runner)
    ready = (*files, *wanted.database)
    states[CHECK] = Done(digest=boot.name, needs=ready)
    states |= _hook(wanted, (*ready, CHECK))
    states[INSTANCE] = InstanceState(
        core=_core(wanted),
        config=conf.generation,
        boot=str(facts),
        needs=(*ready, *(which for which in (CHECK, HOOK) if which in states)),
        loads=(file_key(wanted.layout.conf),),
    )
    return states


def _hook(wanted: Wanted, needs: tuple[Key, ...]) -> dict[Key, State]:
    hook = wanted.site.hooks.release
    if not hook:
        return {}
    digest = sha256(json.dumps([wanted.code.release, hook]).encode()).hexdigest()
    return {HOOK: Done(digest=digest, needs=needs)}


def _core(wanted: Wanted) -> str:
    """A digest of what only a new process can take up."""
    web, code = wanted.web, wanted.code
    parts = [web.binary, code.module, wanted.layout.run, web.addresses, web.http_port]
    parts += [web.https_port, wanted.processes, wanted.threads, wanted.site.tls.mode]
    return sha256(repr(parts).encode()).hexdigest()


def _instance(wanted: Wanted, script: Path) -> Instance:
    web, site, layout = wanted.web, wanted.site, wanted.layout
    certificate = None
    if web.certificate is not None:
        mark = sha256(web.certificate).hexdigest()[:16]
        certificate = layout.instance / f"tls-{mark}.pem"
    local = all(address in ("127.0.0.1", "::1") for address in web.addresses)
    draft = Instance(
        name=site.name,
        modules_dir=web.modules_dir,
        builtin=web.builtin,
        mod_wsgi=wanted.code.module,
        venv=wanted.code.venv,
        script=script,
        run=layout.run,
        log=layout.log,
        drain_flag=layout.instance / "drain",
        generation="",
        addresses=web.addresses,
        http_port=web.http_port,
        https_port=web.https_port,
        certificate=certificate,
        domains=site.domains,
        any_name=not local and not site.domains,
        processes=wanted.processes,
        threads=wanted.threads,
        request_timeout=site.server.request_timeout,
        max_body=site.server.max_body,
        static=wanted.code.static,
    )
    mark = sha256(configuration(draft).encode()).hexdigest()[:16]
    return replace(draft, generation=mark, drain_flag=layout.instance / f"drain-{mark}")
