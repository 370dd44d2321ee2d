"""What one generation of a site is made of, all decided. Pure data, and what follows from it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from hostel.background import Limits, limits_of
from hostel.desired import app_file
from hostel.instance import Behind, Instance, StaticFolder
from hostel.instance_conf import configuration
from hostel.platforms import debian
from hostel.platforms.debian import SitePlaces
from hostel.server.database import Database
from hostel.server.generations import Built
from hostel.site import Site
from hostel.systemd_units import InstanceUnit, Runs, instance_dropin, instance_template

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Tools:
    """The httpd of this machine and the scripts of Hostel's that run in a site's processes.

    `scripts` are the texts of `boot_files` by name, both those beside boot.json and those for all.
    """

    httpd: Path
    modules_dir: Path
    builtin: frozenset[str]
    rotatelogs: Path
    scripts: dict[str, bytes]


@dataclass(frozen=True)
class Ports:
    """Two of loopback; `https` is 0 where TLS is off."""

    http: int
    https: int


@dataclass(frozen=True)
class Setting:
    """All that decides what a generation is. `certificate` is its edition, 0 without TLS."""

    places: SitePlaces
    site: Site
    root: Path
    release: Built
    env: dict[str, str]
    processes: int
    threads: int
    certificate: int
    behind: Behind
    tools: Tools
    number: int = 0
    ports: Ports = Ports(1, 2)
    database: Database | None = None
    of: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names that lead to the site; one below localhost where it declares none."""
        return names_of(self.site)

    @property
    def folder(self) -> Path:
        return self.places.generation(self.number)

    @property
    def code(self) -> Path:
        return self.places.releases / self.release.id / "code"

    @property
    def unit(self) -> str:
        return self.places.unit(self.number)

    @property
    def limits(self) -> Limits:
        return limits_of(self.site, self.processes, self.threads)


def names_of(site: Site) -> tuple[str, ...]:
    return site.domains or (f"{site.name}.localhost",)


def content(setting: Setting) -> str:
    """A digest of all that makes a generation what it is, whichever number and ports it has."""
    plain = replace(setting, number=0, ports=Ports(1, 2 if setting.ports.https else 0), of=None)
    parts: list[str | bytes] = [boot_json(plain), conf(plain)[0], dropin(plain)]
    parts += [instance_template(), json.dumps(plain.site.model_dump(mode="json"), sort_keys=True)]
    hashed = sha256()
    parts += [text for _, text in sorted(setting.tools.scripts.items())]
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        hashed.update(len(data).to_bytes(8, "big") + data)
    return hashed.hexdigest()[:16]


def boot_json(setting: Setting) -> bytes:
    """What a process of the site needs to know before it begins, the environment included."""
    code = setting.code
    return json.dumps(
        {
            "app": setting.site.app,
            "cwd": str(code),
            "path": [str(code / part) for part in setting.site.path],
            "argv": [str(app_file(setting.site, code))],
            "env": setting.env,
        },
        indent=1,
        sort_keys=True,
    ).encode()


def runs(setting: Setting) -> Runs:
    """As whom and within which limits the generation's processes run."""
    places, limits = setting.places, setting.limits
    return Runs(
        site=setting.site.name,
        user=places.user,
        group=places.user,
        boot=places.server.boot,
        boot_json=setting.folder / "boot.json",
        writable=(places.data, places.log),
        memory=limits.memory,
        tasks=limits.tasks,
        cpu=limits.cpu,
    )


def dropin(setting: Setting) -> str:
    """The part of the instance's unit that is its own."""
    ports = setting.ports
    return instance_dropin(
        InstanceUnit(
            runs=runs(setting),
            generation=setting.number,
            run=setting.places.run(setting.number),
            httpd=setting.tools.httpd,
            conf=setting.folder / "httpd.conf",
            ports=tuple(filter(None, (ports.http, ports.https))),
            start_seconds=setting.site.health.timeout,
            stop_seconds=max(setting.site.server.request_timeout, 60),
            idle_seconds=debian.DRAIN_SECONDS,
        )
    )


def conf(setting: Setting) -> tuple[str, str]:
    """The text of httpd.conf, and the mark by which the running instance is recognised."""
    places, site, tools = setting.places, setting.site, setting.tools
    draft = Instance(
        name=site.name,
        modules_dir=tools.modules_dir,
        builtin=tools.builtin,
        mod_wsgi=Path(setting.release.module),
        venv=Path(setting.release.venv),
        script=setting.folder / "wsgi.py",
        run=places.run(setting.number),
        log=places.log,
        drain_flag=places.run(setting.number) / "drain",
        generation="",
        addresses=(debian.INSTANCES,),
        http_port=setting.ports.http,
        https_port=setting.ports.https,
        certificate=places.certificate(setting.certificate) if setting.certificate else None,
        domains=setting.names,
        any_name=False,
        processes=setting.processes,
        threads=setting.threads,
        request_timeout=site.server.request_timeout,
        max_body=site.server.max_body,
        static=tuple(
            StaticFolder(prefix, setting.code / folder) for prefix, folder in site.static.items()
        ),
        keepalive=debian.KEEPALIVE_SECONDS,
        rotatelogs=tools.rotatelogs,
        behind=setting.behind,
    )
    text = configuration(draft)
    mark = sha256(f"{setting.number} {text} {boot_json(setting)!r}".encode()).hexdigest()[:16]
    return configuration(replace(draft, generation=mark)), mark
