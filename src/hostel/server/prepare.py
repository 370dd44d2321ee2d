"""From a project to what its site should be as the next generation. Reads, and makes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from hostel import envstore, release
from hostel.environ import Given, compose
from hostel.errors import HostelError, UsageError
from hostel.httpd_build import Httpd
from hostel.machine import Machine
from hostel.platforms import debian
from hostel.platforms.debian import SitePlaces
from hostel.ports import is_free
from hostel.release import Recipe
from hostel.resources.site_certificate import edition_of
from hostel.server import generations
from hostel.server.database import Database, address
from hostel.server.generations import Built, Generation
from hostel.server.host import Host
from hostel.server.setting import Ports, Setting, content, names_of
from hostel.site import Site
from hostel.surroundings import dotenv_of
from hostel.system_postgres import cluster_here


@dataclass(frozen=True)
class Project:
    """A site in its folder, and what was guessed about it."""

    root: Path
    site: Site
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """A site as it shall be. `made` is when its generation was made, `live` the one before it."""

    setting: Setting
    made: str
    live: Generation | None
    known: Mapping[int, Generation]
    checked: bool = True

    @property
    def is_new(self) -> bool:
        return self.live is None or self.live.number != self.setting.number


def open_project(target: str) -> Project:
    """The project that `target` names. Raises UsageError for what a server cannot host."""
    from hostel.sitefile import load_site
    from hostel.target import resolve

    found = resolve(target)
    site, notes = load_site(found)
    return Project(found.root, site, notes)


def recipe_of(site: Site, root: Path, places: SitePlaces) -> Recipe:
    return Recipe(
        root=root,
        state=places.home,
        cache=places.server.cache,
        python=site.python,
        keep=site.keep,
        hook=site.hooks.build or (),
        data=places.data,
    )


def of_project(project: Project, host: Host, httpd: Httpd) -> Prepared:
    """The site as the project is now: the live generation if nothing differs, else the next."""
    site, places = project.site, host.places.site(project.site.name)
    _same_project(project, places, host.machine)
    recipe = recipe_of(site, project.root, places)
    made = release.foresee(recipe, httpd, host.machine, host.pythons.choose)
    built = Built(made.id, str(made.venv), str(made.module), made.interpreter.version, made.kept)
    store = envstore.load(places.store).values
    dotenv = dotenv_of(project.root, host.machine)
    env = {**compose(site.env, dotenv, given(site, places, Path(built.venv), host), {}), **store}
    return _numbered(_setting(site, project.root, built, env, host, httpd), host)


def of_live(live: Generation, host: Host, httpd: Httpd) -> Prepared:
    """The site as it is live, with the variables that are stored for it now; its code and site
    file stay those of the live generation.
    """
    site, root = Site.model_validate(live.site), Path(live.root)
    places = host.places.site(site.name)
    store = envstore.load(places.store).values
    dotenv = dotenv_of(root, host.machine) if root.is_dir() else {}
    told = given(site, places, Path(live.release.venv), host)
    env = {**compose(site.env, dotenv, told, {}), **store}
    draft = _setting(site, root, live.release, env, host, httpd)
    return _numbered(replace(draft, processes=live.processes, threads=live.threads), host)


def of_generation(old: Generation, host: Host, httpd: Httpd) -> Prepared:
    """The site as it was in an old generation, as its next one."""
    site = Site.model_validate(old.site)
    draft = replace(
        _setting(site, Path(old.root), old.release, old.env, host, httpd),
        processes=old.processes,
        threads=old.threads,
        of=old.of or old.number,
    )
    found = _numbered(draft, host)
    if not found.is_new:
        raise UsageError(
            f"rolling {site.name} back",
            f"generation {old.number} is what is live now, as {found.setting.number}",
            "`hostel status` lists the others.",
        )
    return replace(found, checked=False)


def given(site: Site, places: SitePlaces, venv: Path, host: Host) -> Given:
    """What Hostel itself tells the app of its site."""
    database = database_of(site, host)
    names = names_of(site)
    tls = site.tls.mode != "off"
    http, https = host.ports.public
    port, usual = (https, 443) if tls else (http, 80)
    end = "" if port == usual else f":{port}"
    return Given(
        name=site.name,
        user=places.user,
        home=places.data,
        own_account=False,
        venv=venv,
        url=f"http{'s' if tls else ''}://{names[0]}{end}",
        domains=names,
        data=places.data,
        database=address(places, database) if database is not None else None,
    )


def database_of(site: Site, host: Host) -> Database | None:
    """The database that the site gets, and in which PostgreSQL; None if it asks for none."""
    if site.database is None:
        return None
    cluster = cluster_here(host.machine)
    return Database(is_first=True) if cluster is None else Database(cluster.port)


def url_of(site: Site, host: Host) -> str:
    places = host.places.site(site.name)
    return given(site, places, places.venvs, host).url


def _setting(
    site: Site, root: Path, built: Built, env: Mapping[str, str], host: Host, httpd: Httpd
) -> Setting:
    cores = os.cpu_count() or 1
    return Setting(
        places=host.places.site(site.name),
        site=site,
        root=root,
        release=built,
        env=dict(env),
        processes=site.server.processes or min(2 * cores, 16),
        threads=site.server.threads or debian.THREADS,
        certificate=0,
        behind=host.behind,
        tools=host.tools(httpd),
        database=database_of(site, host),
    )


def _numbered(draft: Setting, host: Host) -> Prepared:
    """The generation's number and ports: those of the live one if nothing else differs."""
    places, machine = draft.places, host.machine
    known = generations.all_of(places, machine)
    current = generations.live_of(places, machine)
    live = known.get(current.number) if current else None
    if draft.site.tls.mode != "off":
        edition = live.certificate if live else 0
        path = places.certificate(edition)
        good = edition_of(edition, draft.names, path, places.server.authority, machine)
        draft = replace(draft, certificate=good)
    marked = replace(draft, ports=Ports(1, 2 if draft.certificate else 0))
    if live is not None and live.content == content(marked):
        same = replace(
            marked, number=live.number, ports=Ports(live.http_port, live.https_port), of=live.of
        )
        return Prepared(same, live.made, live, known)
    number = max([*known, current.number if current else 0, 0]) + 1
    ports = _free_ports(_taken(host), tls=bool(draft.certificate))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Prepared(replace(marked, number=number, ports=ports), now, live, known)


def _taken(host: Host) -> set[int]:
    """The ports of all live instances, whether they run at this moment or not."""
    from hostel import haproxy

    text = host.machine.read(host.places.router / haproxy.ROUTES)
    try:
        routes = haproxy.from_json(text.decode()) if text else ()
    except ValueError:
        return set()  # Told where the routes are observed.
    found = [address for route in routes for address in (route.http, route.https) if address]
    return {int(address.rpartition(":")[2]) for address in found}


def _free_ports(taken: set[int], *, tls: bool) -> Ports:
    found = []
    for port in range(debian.FIRST_PORT, debian.LAST_PORT + 1):
        if port not in taken and is_free(debian.INSTANCES, port):
            found.append(port)
            if len(found) == (2 if tls else 1):
                return Ports(found[0], found[1] if tls else 0)
    raise HostelError(
        "choosing ports for the instance",
        f"none is free from {debian.FIRST_PORT} to {debian.LAST_PORT}",
        "See what holds them: ss -tlnp",
    )


def _same_project(project: Project, places: SitePlaces, machine: Machine) -> None:
    """A site's name belongs to the project that made it, as long as that is there."""
    live = generations.live_of(places, machine)
    if live is None or live.root == str(project.root):
        return
    if Path(live.root).is_dir():
        raise UsageError(
            f"hosting {project.root}",
            f"a site of the name {live.name} is live here already, from {live.root}",
            'Give one of them another name = "..." in its site file.',
        )
