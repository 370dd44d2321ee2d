"""The unit of the router, judged by systemd's own tools where they are installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hostel.haproxy_unit import UNIT, router_unit

TEXT = router_unit(Path("/usr/sbin/haproxy"), Path("/etc/hostel/router/haproxy.cfg"))

analyzed = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")


def said(*words: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


@analyzed
def test_the_unit_is_exposed_no_more_than_a_router_must_be(tmp_path: Path) -> None:
    (tmp_path / UNIT).write_text(TEXT)
    found = re.search(
        r"exposure level for \S+: ([0-9.]+)",
        said("security", "--offline=yes", str(tmp_path / UNIT)),
    )
    assert found is not None
    assert float(found[1]) <= 2.0


@analyzed
def test_systemd_understands_each_line_of_the_unit(tmp_path: Path) -> None:
    program = shutil.which("true")
    assert program is not None
    (tmp_path / UNIT).write_text(router_unit(Path(program), tmp_path / "haproxy.cfg"))
    words = said("verify", str(tmp_path / UNIT))
    assert UNIT not in words


def test_no_part_of_it_is_root() -> None:
    assert "\nUser=hostel-router\n" in TEXT
    assert "+" not in TEXT.split("ExecStart=")[1].split("\n")[0]
    assert "\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n" in TEXT


@pytest.mark.parametrize("path", ["haproxy", "/a b", "/a\nExecStartPre=/bin/x", "/%h", "/$x", "/ä"])
def test_a_path_that_a_unit_would_read_otherwise_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a unit"):
        router_unit(Path(path), Path("/etc/x"))
    with pytest.raises(ValueError, match="cannot stand in a unit"):
        router_unit(Path("/x"), Path(path))
