"""Hostel and what else is on a machine: others' things are left alone, and nothing of Hostel's
is left when it goes.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from ..machines import DebianMachine, File, Layer, layer, ready
from ..machines.tree import APT
from .conftest import Machines
from .sites import Answer, ask, put_site

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(1800)]

HOST, OWN = "hello.example.com", "own.example.com"

NO_MATTER = re.compile(
    # Caches and logs, apt's and dpkg's own state, and what is written whenever a machine runs.
    r"/(var/log|var/cache|var/lib/(apt|dpkg|systemd)|root/\.cache|opt/hostel|var/tmp|tmp)(/|$)"
    r"|/__pycache__(/|$)|^/(etc|var/lib)/ld\.so\.cache|^/etc/(passwd|group|g?shadow|sub[ug]id)-$"
    r"|^/var/backups/"
)


def listing(server: DebianMachine) -> dict[str, str]:
    """Every file there is, with kind, mode, owner and where a link leads."""
    said = server.run(["find", "/", "-xdev", "-printf", r"%p\t%y %m %u:%g %l\n"], check=True)
    rows = (line.partition("\t") for line in said.stdout.splitlines())
    return {path: facts for path, _, facts in rows if not NO_MATTER.search(path)}


def facts(server: DebianMachine) -> dict[str, set[str]]:
    """What is on the machine and runs there."""
    asked = {
        "users": ["getent", "passwd"],
        "groups": ["getent", "group"],
        "unit files": ["systemctl", "list-unit-files", "--no-legend"],
        "units": ["systemctl", "list-units", "--plain", "--no-legend", "--type=service,timer"],
        "ports": ["ss", "-tlnH"],
        "packages": ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n"],
        "asked for": ["apt-mark", "showmanual"],
    }
    said = {what: server.run(argv, check=True).stdout for what, argv in asked.items()}
    return {
        what: {" ".join(line.split()) for line in text.splitlines()} for what, text in said.items()
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    keys = sorted({*before, *after})
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


# -- what another server has --------------------------------------------------------------------

CERTIFICATE = [
    *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"),
    *("-subj", f"/CN={OWN}", "-addext", f"subjectAltName=DNS:{OWN},DNS:{HOST}"),
    *("-keyout", "/etc/ssl/private/own.key", "-out", "/etc/ssl/certs/own.pem"),
]

NGINX_SITE = f"""\
server {{
    listen 80;
    listen 443 ssl;
    server_name {OWN};
    ssl_certificate /etc/ssl/certs/own.pem;
    ssl_certificate_key /etc/ssl/private/own.key;
    location / {{ return 200 "of nginx"; }}
}}
"""

APACHE_SITE = f"""\
<VirtualHost *:80>
    ServerName {OWN}
    Redirect 404 /
    ErrorDocument 404 "of Apache"
</VirtualHost>
<VirtualHost *:443>
    ServerName {OWN}
    SSLEngine on
    SSLCertificateFile /etc/ssl/certs/own.pem
    SSLCertificateKeyFile /etc/ssl/private/own.key
    Redirect 404 /
    ErrorDocument 404 "of Apache"
</VirtualHost>
"""


def with_nginx() -> Layer:
    """ready, and an nginx that has a site of its own."""
    site = "/etc/nginx/sites-enabled/default"
    packages = ["nginx-light", "libnginx-mod-stream"]
    return layer("with_nginx", ready(), [
        [*APT, "update"],
        [*APT, "install", "--no-install-recommends", *packages],
        CERTIFICATE,
        ["rm", site],
        File("/etc/nginx/sites-available/own", NGINX_SITE),
        ["ln", "-s", "../sites-available/own", "/etc/nginx/sites-enabled/own"],
        ["systemctl", "enable", "--now", "nginx"],
    ])  # fmt: skip


def with_apache() -> Layer:
    """ready, and an Apache that has a site of its own."""
    return layer("with_apache", ready(), [
        [*APT, "update"],
        [*APT, "install", "--no-install-recommends", "apache2"],
        CERTIFICATE,
        ["a2enmod", "ssl"],
        File("/etc/apache2/sites-available/own.conf", APACHE_SITE),
        ["a2dissite", "000-default"],
        ["a2ensite", "own"],
        ["systemctl", "enable", "--now", "apache2"],
    ])  # fmt: skip


def fetch(server: DebianMachine, host: str, authority: str, *, secure: bool) -> Answer:
    """One request on port 443 or 80, with whose certificates are to be believed."""
    with socket.create_connection((server.address, 443 if secure else 80), 60) as plain:
        connection = http.client.HTTPConnection(host)
        connection.sock = plain
        if secure:
            context = ssl.create_default_context(cadata=authority)
            connection.sock = context.wrap_socket(plain, server_hostname=host)
        with connection.sock:
            connection.request("GET", "/", headers={"Connection": "close"})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())


def identity(server: DebianMachine, unit: str, folder: str) -> tuple[str, ...]:
    """What tells whether it is the very process as before, and its configuration as it was."""
    digests = server.run(
        ["sh", "-c", f"find {folder} -type f | sort | xargs sha256sum"], check=True
    )
    started = [server.show(unit, key) for key in ("MainPID", "InvocationID", "NRestarts")]
    return (*started, server.show(unit, "UnitFileState"), digests.stdout)


def use_nginx(server: DebianMachine, lines: str) -> None:
    """Do what the notes say: one part beside `http`, one in it, own sites on another port."""
    assert "beside `http { ... }`" in lines
    [stream] = re.findall(r"(?ms)^stream \{$.*?^\}$", lines)
    [site] = re.findall(r"(?ms)^server \{$.*?^\}$", lines)
    [port] = re.findall(r"must listen on 127\.0\.0\.1:([0-9]+) instead of 443", lines)
    conf = server.read("/etc/nginx/nginx.conf")
    server.write("/etc/nginx/nginx.conf", f"{conf}\n{stream}\n")
    server.write("/etc/nginx/sites-enabled/hello", site)
    own = NGINX_SITE.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    server.write("/etc/nginx/sites-available/own", own)
    server.run(["nginx", "-t"], check=True)
    server.run(["systemctl", "restart", "nginx"], check=True)


def use_apache(server: DebianMachine, lines: str) -> None:
    [enable] = re.findall(r"Debian: (a2enmod [a-z_ ]+)\)", lines)
    hosts = "\n".join(re.findall(r"(?ms)^<VirtualHost .*?^</VirtualHost>$", lines))
    hosts = hosts.replace("/SITE.", "/own.")
    server.write("/etc/apache2/sites-enabled/hello.conf", hosts)
    server.run(enable.split(), check=True)
    server.run(["apachectl", "configtest"], check=True)
    server.run(["systemctl", "restart", "apache2"], check=True)


@pytest.mark.parametrize(
    ("made", "unit", "folder", "use", "sees"),
    [
        (with_nginx, "nginx", "/etc/nginx", use_nginx, "hostel"),
        (with_apache, "apache2", "/etc/apache2", use_apache, "own"),
    ],
)
def test_a_server_that_has_the_ports_keeps_them_and_can_pass_sites_on(
    machines: Machines,
    made: Callable[[], Layer],
    unit: str,
    folder: str,
    use: Callable[[DebianMachine, str], None],
    sees: str,
) -> None:
    server = machines(made())
    project = put_site(server, "hello")
    own = server.read("/etc/ssl/certs/own.pem")
    before, there, was = identity(server, unit, folder), listing(server), facts(server)

    planned = server.run(["hostel", "plan", project], check=True)
    assert f"{unit} (pid {before[0]}" in planned.stderr
    refused = server.run(["hostel", "apply", project])
    assert refused.returncode == 1
    pid = before[0]
    assert f"{unit} (pid {pid}" in refused.stderr
    assert HOST in refused.stderr
    assert identity(server, unit, folder) == before
    assert differences(there, listing(server)) == []
    assert differences(was, facts(server)) == []

    said = re.search(r"(?m)^    \[router\]\n(?:    .*\n)+", refused.stderr)
    assert said is not None, refused.stderr
    server.write("/etc/hostel/machine.toml", re.sub("(?m)^    ", "", said[0]))
    applied = server.run(["hostel", "apply", project], timeout=900)
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout == f"https://{HOST}\n", "visitors come by the usual ports"
    assert identity(server, unit, folder) == before

    lines = applied.stderr.partition("needs these lines:\n")[2]
    use(server, lines)
    authority = {"own": own, "hostel": server.read("/var/lib/hostel/ca/ca.crt")}
    assert fetch(server, HOST, authority[sees], secure=True).text == "hello"
    plain = fetch(server, HOST, "", secure=False)
    assert plain.status in (301, 302, 307, 308)
    assert plain.headers["Location"] == f"https://{HOST}/"
    for secure in (True, False):
        assert fetch(server, OWN, own, secure=secure).text.startswith("of ")

    again = identity(server, unit, folder)
    server.run(["hostel", "remove", "hello", "--data", "--yes"], check=True, timeout=600)
    server.run(["hostel", "remove", "--server", "--data", "--yes"], check=True, timeout=600)
    assert identity(server, unit, folder) == again
    assert fetch(server, OWN, own, secure=True).text.startswith("of ")
    assert server.read("/etc/hostel/machine.toml"), "a person's file is a person's"
    assert facts(server)["packages"] == was["packages"]


# -- what has a name that Hostel wants ----------------------------------------------------------

FOREIGN = {
    "a user": (
        ["useradd", "--system", "--home-dir", "/opt/other", "hostel-hello"],
        ["userdel", "hostel-hello"],
        "the user hostel-hello",
    ),
    "a group": (
        ["groupadd", "hostel-hello"],
        ["groupdel", "hostel-hello"],
        "the user hostel-hello",
    ),
    "the router's user": (
        ["useradd", "--system", "--home-dir", "/opt/other", "hostel-router"],
        ["userdel", "hostel-router"],
        "the user hostel-router",
    ),
    "a folder": (
        ["install", "-d", "-m", "777", "/srv/hostel/hello"],
        ["rm", "-r", "/srv/hostel"],
        "the folder /srv/hostel/hello",
    ),
    "a link": (
        ["ln", "-s", "/etc", "/srv/hostel"],
        ["rm", "/srv/hostel"],
        "the folder /srv/hostel",
    ),
    "a unit": (
        ["install", "-m", "640", "/etc/hostname", "/etc/systemd/system/hostel-router.service"],
        ["rm", "/etc/systemd/system/hostel-router.service"],
        "the file /etc/systemd/system/hostel-router.service",
    ),
    "a file": (
        ["install", "-m", "640", "/etc/hostname", "/etc/tmpfiles.d/hostel.conf"],
        ["rm", "/etc/tmpfiles.d/hostel.conf"],
        "the file /etc/tmpfiles.d/hostel.conf",
    ),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_hostel_did_not_make_is_refused_and_stays_as_it_is(
    what: str, shared_server: DebianMachine
) -> None:
    make, unmake, name = FOREIGN[what]
    server, project = shared_server, put_site(shared_server, "hello")
    server.run(make, check=True)
    try:
        there, was = listing(server), facts(server)
        ran = server.run(["hostel", "apply", project], timeout=600)
        assert ran.returncode == 1, ran.stderr
        assert name in ran.stderr
        assert "Hostel did not make it" in ran.stderr
        assert differences(there, listing(server)) == []
        assert differences(was, facts(server)) == []
    finally:
        server.run(unmake, check=True)


# -- the way out --------------------------------------------------------------------------------


def test_a_machine_is_as_it_was_when_the_last_site_and_the_server_part_are_gone(
    machines: Machines,
) -> None:
    server = machines("hostel")
    server.run([*APT, "update"], check=True, timeout=600)
    there, was = listing(server), facts(server)
    project = put_site(server, "hello", "import nosuchmodule\n")

    failed = server.run(["hostel", "apply", project], timeout=900)
    assert failed.returncode == 4
    assert "haproxy installed" in facts(server)["packages"], "what took a minute is kept"
    assert server.show("hostel-router.service", "ActiveState") == "active"

    put_site(server, "hello")
    server.run(["hostel", "apply", project], check=True, timeout=900)
    server.run(["hostel", "env", "set", "TOKEN", "--site", "hello"], stdin="s3cret", check=True)
    assert ask(server, HOST).text == "hello"
    live = server.run(["hostel", "remove", "--server", "--yes"])
    assert live.returncode == 2
    assert "hostel remove hello" in live.stderr

    data = "/srv/hostel/hello/data/kept"
    server.write(data, "precious")
    gone = server.run(["hostel", "remove", "hello", "--yes"], check=True, timeout=600)
    assert "hostel remove --server" in gone.stderr
    server.run(["hostel", "remove", "--server", "--yes"], check=True, timeout=900)
    assert server.read(data) == "precious", "data stay unless it is said"
    assert not server.exists("/etc/systemd/system/hostel-router.service")

    put_site(server, "hello", "")
    end = server.run(["hostel", "remove", "--server", "--data", "--yes"], timeout=900)
    assert end.returncode == 0, end.stderr
    # What a machine as small as this one lacks of what others recommend is not Hostel's to remove.
    server.run([*APT, "purge", "bsdextrautils", "sensible-utils"], check=True, timeout=600)
    server.run(["rm", "-r", project], check=True)
    assert differences(there, listing(server)) == []
    assert differences(was, facts(server)) == []
    nothing = server.run(["hostel", "remove", "--server", "--yes"])
    assert nothing.returncode == 2
    assert "there is nothing" in nothing.stderr
