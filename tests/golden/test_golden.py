"""What whole sites become: httpd.conf and the plan, compared with what was looked at and kept.

Each folder is a case: `site.toml` and `facts.json` go in, `httpd.conf` and `plan.txt` come out.
After a change that is meant, write them anew with `HOSTEL_GOLDEN=write` and read the difference.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hostel.account import Account
from hostel.boot_files import BESIDE
from hostel.desired import Code, Wanted, Web, desired
from hostel.instance import StaticFolder
from hostel.plan import Key, Plan, State, key, plan
from hostel.platforms.layout import Layout
from hostel.resources.cluster import ClusterState, cluster_key
from hostel.resources.database import DatabaseState, database_key
from hostel.resources.role import RoleState, role_key
from hostel.resources.server import ServerState, server_key
from hostel.sitefile import parse
from hostel.states import FileState

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/site.toml"))


def wanted(case: Path) -> Wanted:
    """The decisions of a case: its site, and the facts of a machine that does not exist."""
    site = parse((case / "site.toml").read_text(), origin="site.toml", given={"path": ["."]})
    facts: dict[str, Any] = json.loads((case / "facts.json").read_text())
    root = Path(facts["root"])
    layout = Layout(root / ".hostel", root / ".hostel/run")
    code = layout.releases / facts["release"] / "code"
    tls = site.tls.mode != "off"
    return Wanted(
        site=site,
        layout=layout,
        runner=Account("www-data", 33, 33, Path("/var/www")),
        web=Web(
            binary=Path("/usr/sbin/apache2"),
            modules_dir=Path("/usr/lib/apache2/modules"),
            builtin=frozenset(facts["builtin"]),
            addresses=site.server.listen,
            http_port=facts["http"],
            https_port=facts["https"] if tls else 0,
            certificate=b"key and certificate" if tls else None,
        ),
        code=Code(
            release=facts["release"],
            code=code,
            venv=layout.venvs / "1111111111111111",
            module=Path("/var/cache/hostel/mod_wsgi/2222222222222222/mod_wsgi.so"),
            static=tuple(StaticFolder(prefix, code / it) for prefix, it in site.static.items()),
        ),
        env={"LANG": "C.UTF-8", **site.env},
        boot_scripts={name: f"# in place of boot/{name}\n".encode() for name in BESIDE},
        processes=site.server.processes or facts["processes"],
        threads=site.server.threads or 16,
        database=database(site.name, layout) if site.database else {},
    )


def database(name: str, layout: Layout) -> dict[Key, State]:
    cluster, server = cluster_key(layout.cluster), server_key(layout.cluster)
    role = role_key(name)
    return {
        database_key(name): DatabaseState.of(name, (), (server, role)),
        role: RoleState(needs=(server,)),
        server: ServerState(settings="", needs=(cluster,), loads=(cluster,)),
        cluster: ClusterState(major=18, hba="", ident="", conf=""),
    }


def text_of(steps: Plan) -> list[str]:
    return [f"{change.verb} {change.key}" for change in (*steps.changes, *steps.removals)]


def plans(case: Path) -> str:
    """What is done at first, and then when a variable, the code, or the number of processes is
    another."""
    site = wanted(case)
    first = desired(site)
    there = site.layout.releases / ("f" * 16) / "code"
    code = replace(site.code, release="f" * 16, code=there, static=())
    others = {
        "another variable": replace(site, env={**site.env, "OTHER": "1"}),
        "another release": replace(site, code=code),
        "another number of processes": replace(site, processes=site.processes + 1),
    }
    parts = {"first": text_of(plan(first, {}))}
    parts |= {title: text_of(plan(desired(it), {**first})) for title, it in others.items()}
    return "\n".join("\n".join([f"{title}:", *lines, ""]) for title, lines in parts.items())


def configured(case: Path) -> str:
    site = wanted(case)
    state = desired(site)[key("file", site.layout.conf)]
    assert isinstance(state, FileState)
    return state.content.decode()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("name", "made"), [("httpd.conf", configured), ("plan.txt", plans)])
def test_a_site_becomes_what_it_was_seen_to_become(case: str, name: str, made: Any) -> None:
    path, text = HERE / case / name, made(HERE / case)
    if os.environ.get("HOSTEL_GOLDEN") == "write":
        path.write_text(text)
    there = path.read_text() if path.exists() else ""
    assert text == there, "if this is meant: HOSTEL_GOLDEN=write pytest tests/golden, then git diff"


def test_nothing_depends_on_the_order_of_sets_or_on_the_clock() -> None:
    for case in CASES:
        assert (configured(HERE / case), plans(HERE / case)) == (
            configured(HERE / case),
            plans(HERE / case),
        )


def test_a_plan_of_what_is_there_already_is_empty() -> None:
    for case in CASES:
        states = desired(wanted(HERE / case))
        assert not plan(states, {**states})
