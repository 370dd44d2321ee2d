"""What should be on a server: the machine's own part, and each site's. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from hostel.boot_files import BESIDE
from hostel.plan import Key, State, key
from hostel.platforms.debian import INSTANCES, SitePlaces
from hostel.resources.folder import FolderState, folder_key
from hostel.resources.release import ReleaseState, release_key
from hostel.resources.route import RouteState, route_key
from hostel.resources.service import ServiceState, service_key
from hostel.resources.site_certificate import SiteCertificateState, certificate_key
from hostel.resources.user import UserState, user_key
from hostel.server.beside import beside
from hostel.server.database import database_states
from hostel.server.generations import Generation, Live, encoded, encoded_live
from hostel.server.setting import Setting, boot_json, conf, content, dropin
from hostel.states import Done, FileState, file_key

ROOT = "root:root"


def site_states(setting: Setting, made: str, *, checked: bool) -> dict[Key, State]:
    """The states of a site that is live as this generation, with all that it needs.

    `made` is when the generation was made. `checked` says whether the app is tried and the
    release hook run before it starts, as for all but a rollback.
    """
    states = folders(setting.places)
    states |= _files(setting, made)
    if setting.database is not None and setting.site.database is not None:
        extensions = setting.site.database.extensions
        states |= database_states(setting.places, extensions)
    release = release_key(setting.site.name, setting.release.id)
    states[release] = ReleaseState(
        venv=setting.release.venv, module=setting.release.module, needs=tuple(states)
    )
    ready: tuple[Key, ...] = tuple(states)
    if setting.certificate:
        which = certificate_key(setting.places.certificate(setting.certificate))
        owner = f"root:{setting.places.user}"
        states[which] = SiteCertificateState(names=setting.names, owner=owner, needs=ready)
        ready = (*ready, which)
    if checked:
        states |= _tried(setting, ready)
    states |= _serving(setting, tuple(states))
    return states | beside(setting, (route_key(setting.site.name), file_key(setting.places.record)))


def folders(places: SitePlaces) -> dict[Key, State]:
    """The site's user and folders, none of whose content others may see."""
    user = user_key(places.user)
    own, mine = f"root:{places.user}", f"{places.user}:{places.user}"
    states: dict[Key, State] = {user: UserState.of(places.user, str(places.data))}

    def folder(path: Path, mode: int, owner: str) -> None:
        above = folder_key(path.parent)
        needs = (user, *((above,) if above in states else ()))
        states[folder_key(path)] = FolderState(mode=mode, owner=owner, whole=True, needs=needs)

    folder(places.home, 0o750, own)
    for path in (places.releases, places.venvs):
        folder(path, 0o755, own)  # Closed by the folder they are in.
    for path in (places.generations, places.certificates):
        folder(path, 0o750, own)
    folder(places.data, 0o750, mine)
    folder(places.log, 0o750, f"{places.user}:adm")
    folder(places.records, 0o700, ROOT)
    folder(places.generation_record(1).parent, 0o700, ROOT)
    folder(places.done, 0o700, ROOT)
    return states


def _files(setting: Setting, made: str) -> dict[Key, State]:
    """The files of the generation, which are never changed after, and its record."""
    places, folder, number = setting.places, setting.folder, setting.number
    owner = f"root:{places.user}"
    above = FolderState(
        mode=0o750, owner=owner, whole=True, needs=(folder_key(places.generations),)
    )
    unit = FolderState(mode=0o755, owner=ROOT, whole=True)
    needs = (folder_key(folder), user_key(places.user))

    def text(data: bytes, mode: int = 0o440, *, secret: bool = False) -> FileState:
        return replace(FileState.of(data, mode=mode, owner=owner, secret=secret), needs=needs)

    record = FileState.of(encoded(recorded(setting, made)), mode=0o600, owner=ROOT, secret=True)
    return {
        folder_key(folder): above,
        **{file_key(folder / name): text(setting.tools.scripts[name]) for name in BESIDE},
        file_key(folder / "boot.json"): text(boot_json(setting), secret=True),
        file_key(folder / "httpd.conf"): text(conf(setting)[0].encode()),
        folder_key(places.dropin(number).parent): unit,
        file_key(places.dropin(number)): replace(
            FileState.of(dropin(setting).encode(), mode=0o644, owner=ROOT),
            needs=(folder_key(places.dropin(number).parent),),
        ),
        file_key(places.generation_record(number)): replace(
            record, needs=(folder_key(places.generation_record(1).parent),)
        ),
    }


def recorded(setting: Setting, made: str) -> Generation:
    return Generation(
        number=setting.number,
        site=setting.site.model_dump(mode="json"),
        root=str(setting.root),
        release=setting.release,
        env=setting.env,
        processes=setting.processes,
        threads=setting.threads,
        http_port=setting.ports.http,
        https_port=setting.ports.https,
        certificate=setting.certificate,
        content=content(setting),
        made=made,
        of=setting.of,
    )


def check_key(site: str) -> Key:
    return key("once", f"{site}/done/check")


def hook_key(site: str) -> Key:
    return key("hook", f"{site}/done/release")


def probe_key(site: str) -> Key:
    return key("once", f"{site}/done/probe")


def _tried(setting: Setting, ready: tuple[Key, ...]) -> dict[Key, State]:
    name, hook = setting.site.name, setting.site.hooks.release
    states: dict[Key, State] = {check_key(name): Done(digest=content(setting), needs=ready)}
    if hook:
        digest = sha256(json.dumps([setting.release.id, hook]).encode()).hexdigest()
        states[hook_key(name)] = Done(digest=digest, needs=(*ready, check_key(name)))
    return states


def _serving(setting: Setting, ready: tuple[Key, ...]) -> dict[Key, State]:
    """The unit, the request that shows it works, the route to it, and what says that it is live."""
    name, ports = setting.site.name, setting.ports
    service, probe, route = service_key(setting.unit), probe_key(name), route_key(name)
    live = Live(name, setting.number, str(setting.root))
    return {
        service: ServiceState(needs=ready),
        probe: Done(digest=f"{setting.number} {content(setting)}", needs=(service,)),
        route: RouteState(
            names=setting.names,
            http=f"{INSTANCES}:{ports.http}",
            https=f"{INSTANCES}:{ports.https}" if ports.https else "",
            needs=(service, probe),
        ),
        file_key(setting.places.record): replace(
            FileState.of(encoded_live(live), mode=0o600, owner=ROOT), needs=(route,)
        ),
    }


def kept_states(
    states: Mapping[Key, State], observed: Mapping[Key, State | None], keep: frozenset[Key]
) -> dict[Key, State]:
    """The same, with what was changed by hand and is to stay so left as it is."""
    from hostel.drift import kept

    return kept(states, observed, keep)


def generation_keys(places: SitePlaces, number: int) -> tuple[Key, ...]:
    """Everything that is one generation's own on disk, from the outside in."""
    folder, dropin = places.generation(number), places.dropin(number)
    return (
        file_key(places.generation_record(number)),
        folder_key(folder),
        *(file_key(folder / name) for name in (*BESIDE, "boot.json", "httpd.conf")),
        folder_key(dropin.parent),
        file_key(dropin),
    )
