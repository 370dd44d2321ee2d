"""What the README and docs/ tell people to type, typed."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from .conftest import ROOT, Hosted

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.mark.parametrize("person", ["user"], indirect=True)
def test_the_commands_of_the_docs_work(project: Any) -> None:
    site: Hosted = project("guestbook", "guestbook")
    assert site.up().returncode == 0
    hostel = site.person.hostel
    around = {"PATH": f"{hostel.parent}:/usr/local/bin:/usr/bin:/bin"}

    def shell(command: str) -> str:
        done = site.person.run("/bin/bash", "-c", command, cwd=site.root, **around)
        assert done.returncode == 0, done.stderr
        return done.stdout

    address = f"https://localhost:{site.https}"
    readme = (ROOT / "README.md").read_text()
    curl = re.search(r"`(?:hostel status --json`, `)(curl [^`]+)`", readme)
    assert curl
    assert "Guestbook" in shell(curl[1].replace("https://localhost:8443", address))
    assert json.loads(shell("hostel status --json"))["sites"][0]["state"] == "up"
    for name in ("bash_source", "zsh_source", "fish_source"):
        assert "hostel" in shell(f"_HOSTEL_COMPLETE={name} hostel")
    shell('eval "$(_HOSTEL_COMPLETE=bash_source hostel)"')

    concepts = (ROOT / "docs" / "concepts.md").read_text()
    psql = re.search(r"^    (psql .*)$", concepts, re.M)
    assert psql
    assert "entry" in shell(psql[1] + " -c '\\dt'")
    for command in ("cert path", "cert show", "cert list", "cert trust --print", "status"):
        assert shell(f"hostel {command}")
    assert shell("hostel down")


def test_every_verb_of_the_reference_exists_and_the_other_way_round() -> None:
    from hostel.cli import VERBS

    text = (ROOT / "docs" / "reference.md").read_text()
    assert set(re.findall(r"^    hostel (\w+)", text, re.M)) == set(VERBS)


def test_every_link_in_the_docs_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"
