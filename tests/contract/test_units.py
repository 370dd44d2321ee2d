"""The units as systemd itself reads them, without one running: `systemd-analyze`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hostel.systemd_units import (
    InstanceUnit,
    JobUnit,
    Runs,
    WorkerUnit,
    cron_service,
    cron_timer,
    instance_dropin,
    instance_template,
    job_name,
    timer_name,
    worker_name,
    worker_unit,
)

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here (package systemd)"
)

MOST_EXPOSED = 20
"""Of 100, as systemd-analyze counts what a service could still do."""

HOSTILE = ("%n", "$HOME", "${HOME}", ";", "", '"', "\\", "a\nb", "é", " ", "\u2028", "a'b")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The units of a site, whose paths are there."""
    runs = Runs(
        site="guestbook",
        user="www-data",
        group="www-data",
        boot=tmp_path,
        boot_json=tmp_path / "boot.json",
        writable=(tmp_path,),
        memory="75%",
        tasks=600,
        cpu="150%",
    )
    instance = InstanceUnit(
        runs=runs,
        generation=3,
        run=Path("/run/hostel/guestbook-3"),
        httpd=Path("/usr/sbin/apache2"),
        conf=tmp_path / "httpd.conf",
        ports=(21004, 21005),
        start_seconds=30,
        stop_seconds=60,
        idle_seconds=6,
    )
    worker = WorkerUnit(runs, 3, "mailer", 1, ("python", *HOSTILE), 30)
    job = JobUnit(runs, "clean", ("python", *HOSTILE), ("*-*-* 04:30:00", "Mon *-*-* 12:00:00"), 60)
    units = tmp_path / "units"
    # As systemd puts it together: systemd-analyze reads no drop-in of a file that it is given.
    texts = {
        "hostel-instance@guestbook-3.service": instance_template() + instance_dropin(instance),
        worker_name(worker): worker_unit(worker),
        job_name("guestbook", "clean"): cron_service(job),
        timer_name("guestbook", "clean"): cron_timer(job),
    }
    units.mkdir()
    for name, text in texts.items():
        (units / name).write_text(text)
    return units


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    argv = ["systemd-analyze", "--no-pager", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)


def test_systemd_finds_nothing_wrong_with_any_unit(folder: Path) -> None:
    ran = analyze("verify", "--man=no", *sorted(folder.iterdir()))
    ours = [line for line in ran.stderr.splitlines() if str(folder) in line or "hostel-" in line]
    assert (ran.returncode, ours) == (0, [])


def test_systemd_would_tell_of_a_setting_that_is_none(folder: Path) -> None:
    """What the test above relies on."""
    path = folder / "hostel-cron@guestbook.clean.service"
    path.write_text(path.read_text() + "\n[Service]\nNonsense=yes\n")
    assert "Nonsense" in analyze("verify", "--man=no", path).stderr


def test_little_is_exposed_by_any_service(folder: Path) -> None:
    for path in sorted(folder.glob("*.service")):
        ran = analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSED}", path)
        assert ran.returncode == 0, f"{path.name}: {ran.stdout[-3000:]}{ran.stderr}"


def test_an_unrestrained_service_would_be_told(folder: Path) -> None:
    path = folder / "open.service"
    path.write_text("[Service]\nExecStart=/bin/true\n")
    assert analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSED}", path).returncode
