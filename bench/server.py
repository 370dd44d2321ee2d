"""Hostel on a server beside nginx and gunicorn: both, and the load, in one booted machine.

The machine is one of the system tests': Debian with systemd, thrown away at the end. So nothing of
this host's own is touched, and all have the same way to the network: none.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.load import Effort, Sample, in_turns, load
from bench.ours import HELLO, ROOT
from bench.processes import Failed
from bench.report import Duel, Figure, Result
from bench.rivals import PROXY, Place
from tests.system.machines import DebianMachine, File, HostTrouble, Layer, layer, ready, why_not

OURS, RIVAL = "Hostel", "nginx + gunicorn 2x4"
TLS, PLAIN = "hello.example.com", "plain.example.com"
CONNECTIONS = 32
HANDSHAKES = 5000
SWITCHES = 6
CERTIFICATE = "/srv/hostel/hello/certificates/1.pem"
"""Of both sides: handshakes cost by the kind of key."""

NGINX = f"""\
user www-data;
worker_processes auto;
pid /run/rival-nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log /var/log/rival.log;
    upstream app {{ server 127.0.0.1:8000; keepalive 16; }}
    server {{
        listen 127.0.0.1:8080;
        {PROXY}
    }}
    server {{
        listen 127.0.0.1:8443 ssl;
        ssl_certificate {CERTIFICATE};
        ssl_certificate_key {CERTIFICATE};
        ssl_protocols TLSv1.2 TLSv1.3;
        {PROXY}
    }}
}}
"""


def _installed() -> Layer:
    """A server with two sites of Hostel's, and the rival installed."""
    policy = "/usr/sbin/policy-rc.d"
    toml = f'name = "{{}}"\napp = "app.py"\ndomains = ["{{}}.example.com"]\n[tls]\nmode = "{{}}"\n'
    app = (HELLO / "app.py").read_text()
    steps: list[Sequence[str] | File] = [
        File(policy, "#!/bin/sh\nexit 101\n", 0o755),
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-qy", "--no-install-recommends", "nginx-light", "wrk"],
        ["systemctl", "disable", "nginx.service"],
        ["rm", policy],
        ["python3", "-m", "venv", "/opt/rival"],
        ["/opt/rival/bin/pip", "install", "--quiet", "gunicorn>=23"],
        File("/srv/rival/app.py", app),
        File("/etc/rival.conf", NGINX),
    ]
    for name, mode in (("hello", "local"), ("plain", "off")):
        steps += [
            File(f"/root/{name}/app.py", app),
            File(f"/root/{name}/hostel.toml", toml.format(name, name, mode)),
            ["hostel", "apply", f"/root/{name}"],
        ]
    return layer("bench", ready(), steps, depends=[ROOT / "src"])


@contextlib.contextmanager
def _booted() -> Iterator[DebianMachine]:
    """The machine, with everything running. Raises Failed where none can be booted."""
    why = why_not()
    if why:
        raise Failed(why)
    try:
        with DebianMachine.boot(_installed()) as machine:
            names = f"127.0.0.1 localhost {TLS} {PLAIN}\n"
            machine.write("/etc/hosts", names)
            gunicorn = ["/opt/rival/bin/gunicorn", "--workers=2", "--threads=4"]
            gunicorn += ["--worker-class=gthread", "--bind=127.0.0.1:8000", "app:application"]
            unit = ["systemd-run", "--quiet", "--unit=rival-gunicorn", "--uid=www-data"]
            unit += ["--working-directory=/srv/rival", "--setenv=HOME=/tmp"]
            machine.run([*unit, *gunicorn], check=True)
            unit = ["systemd-run", "--quiet", "--unit=rival-nginx"]
            machine.run([*unit, "nginx", "-g", "daemon off;", "-c", "/etc/rival.conf"], check=True)
            for url in (*_urls(tls=True).values(), *_urls(tls=False).values()):
                _await(machine, url)
            yield machine
    except (HostTrouble, AssertionError) as error:
        raise Failed(str(error)) from error


def _urls(*, tls: bool) -> dict[str, str]:
    if tls:
        return {OURS: f"https://{TLS}/", RIVAL: f"https://{TLS}:8443/"}
    return {OURS: f"http://{PLAIN}/", RIVAL: f"http://{PLAIN}:8080/"}


def _await(machine: DebianMachine, url: str) -> None:
    end = time.monotonic() + 60
    while machine.run(["curl", "-ksfo", "/dev/null", url]).returncode:
        if time.monotonic() > end:
            raise Failed(f"{url} does not answer:\n{machine.journal()}")
        time.sleep(0.1)


def _runner(machine: DebianMachine) -> Callable[[Sequence[object], float], str]:
    def run(command: Sequence[object], seconds: float = 60) -> str:
        ran = machine.run([str(word) for word in command], timeout=seconds)
        if ran.returncode:
            raise Failed(f"{command[0]} ended with {ran.returncode}: {ran.stderr[-800:]}")
        return ran.stdout

    return run


# -- contests -----------------------------------------------------------------------------------


def routed(place: Place, effort: Effort) -> list[Result]:
    """Hello world through router and instance, without TLS and with it on both sides."""
    results: list[Result] = []
    with _booted() as machine:
        for tls in (False, True):
            samples = in_turns(_urls(tls=tls), effort, CONNECTIONS, _runner(machine))
            what = f"server, hello world, {'TLS' if tls else 'no TLS'}"
            results.append(Duel(what, RIVAL, samples[OURS], samples[RIVAL], 1.3))
    return results


def handshakes(place: Place, effort: Effort) -> list[Result]:
    """A new TLS connection for each request."""
    samples: dict[str, list[Sample]] = {OURS: [], RIVAL: []}
    with _booted() as machine:
        urls = _urls(tls=True)
        for turn in range(effort.rounds + 1):
            for name in (OURS, RIVAL) if turn % 2 else (RIVAL, OURS):
                sample = _new_connections(machine, urls[name])
                if turn:  # the first one warms
                    samples[name].append(sample)
    what = f"server, {HANDSHAKES:,} new TLS connections"
    return [Duel(what, RIVAL, samples[OURS], samples[RIVAL])]


def _new_connections(machine: DebianMachine, url: str) -> Sample:
    flags = ["-q", "-n", HANDSHAKES, "-c", CONNECTIONS, "-s", "30"]
    text = _runner(machine)(["ab", *flags, url], 600)
    rate = re.search(r"Requests per second: +([\d.]+)", text)
    slow = re.search(r"^ +99% +(\d+)", text, re.MULTILINE)
    failed = re.search(r"Failed requests: +(\d+)", text)
    if rate is None or slow is None or failed is None or "Non-2xx" in text:
        raise Failed(f"{url} did not answer every request well:\n{text}")
    return Sample(float(rate[1]), float(slow[1]), int(failed[1]))


def switches(place: Place, effort: Effort) -> list[Result]:
    """The slowest of a hundred requests, in peace and while the site switches all the time."""
    ratios, steady, moving = [], [], []
    with _booted() as machine:
        run, url = _runner(machine), _urls(tls=True)[OURS]
        load(url, CONNECTIONS, 2, run)
        for turn in range(effort.rounds):
            seconds = effort.seconds * SWITCHES
            steady.append(load(url, CONNECTIONS, seconds, run).slow)
            moving.append(_while_switching(machine, url, seconds, turn))
            ratios.append(moving[-1] / steady[-1])
    return [
        Figure("server, p99 of hello world over TLS, in peace", "ms", steady),
        Figure("server, p99 of the same, in one switch after the other", "ms", moving),
        Figure("server, the second to the first", "x", ratios, 2),
    ]


def _while_switching(machine: DebianMachine, url: str, seconds: int, turn: int) -> float:
    """p99 under a load in which as many switches are made as fit."""
    flags = ["-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "--timeout", "5s", url]
    wrk = machine.popen(["wrk", *flags])
    made = 0
    while wrk.poll() is None:
        made += 1
        app = (HELLO / "app.py").read_text() + f"# {turn}.{made}\n"
        machine.write("/root/hello/app.py", app)
        machine.run(["hostel", "apply", "/root/hello"], timeout=600, check=True)
    text = wrk.communicate()[0]
    slow = re.search(r"99% +([\d.]+)([a-z]+)", text)
    if slow is None or "Non-2xx" in text or made < 2:
        raise Failed(f"{url} did not answer every request well in {made} switches:\n{text}")
    return float(slow[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[slow[2]]
