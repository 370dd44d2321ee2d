"""A generation is known by its content, whichever number and ports it has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hostel.server.setting import Ports, boot_json, conf, content, dropin, names_of

from .samples import TOOLS, setting, site


def test_number_and_ports_are_no_part_of_the_content() -> None:
    one = setting()
    other = replace(one, number=8, ports=Ports(22000, 22001), of=3)
    assert content(one) == content(other)


@pytest.mark.parametrize(
    "change",
    [
        {"env": {"GREETING": "bye", "API_KEY": "s3cret"}},
        {"processes": 3},
        {"threads": 9},
        {"certificate": 2},
        {"tools": replace(TOOLS, scripts={**TOOLS.scripts, "wsgi.py": b"# newer\n"})},
    ],
)
def test_whatever_else_differs_makes_another_generation(change: dict[str, Any]) -> None:
    assert content(replace(setting(), **change)) != content(setting())


@pytest.mark.parametrize(
    "said",
    [
        {"server": {"memory": "512MB"}},
        {"domains": ["shop.example.com", "www.example.com"]},
        {"hooks": {"release": "python migrate.py"}},
        {"workers": {"mail": "python mail.py"}},
        {"health": {"path": "/up"}},
    ],
)
def test_a_change_of_the_site_file_makes_another_generation(said: dict[str, Any]) -> None:
    assert content(setting(site(**said))) != content(setting())


def test_no_value_of_the_environment_is_in_the_unit_or_in_httpds_configuration() -> None:
    text = dropin(setting()) + conf(setting())[0]
    assert "s3cret" not in text
    assert json.loads(boot_json(setting()))["env"]["API_KEY"] == "s3cret"


def test_the_instance_expects_the_router_and_says_the_ports_that_visitors_see() -> None:
    text, mark = conf(setting())
    assert "RemoteIPProxyProtocol On" in text
    assert "Listen 127.72.0.1:21001" in text
    assert "ServerName shop.example.com:443" in text
    assert "https://shop.example.com%1" in text
    assert "|/usr/bin/rotatelogs" in text
    assert mark in text


def test_two_generations_of_one_content_are_told_apart_by_their_marks() -> None:
    assert conf(setting())[1] != conf(replace(setting(), number=8))[1]


def test_a_site_without_names_gets_one_below_localhost() -> None:
    assert names_of(site(domains=[])) == ("shop.localhost",)


def test_the_unit_runs_httpd_as_the_sites_user_with_its_limits() -> None:
    text = dropin(setting(site(server={"memory": "256MB", "cpu": 1.5})))
    assert "User=hostel-shop\n" in text
    assert "MemoryMax=256000000\n" in text
    assert "CPUQuota=150%\n" in text
    assert str(Path("/srv/hostel/shop/generations/7/boot.json")) in text
