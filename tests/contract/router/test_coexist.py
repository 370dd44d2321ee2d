"""A real nginx or Apache in front of the real router, with the snippet that it is told to use."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from hostel import ports, processes
from hostel.coexist import Certificate, snippet

STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
APACHE_MODULES = Path("/usr/lib/apache2/modules")
SITES = {"blog": ["blog.example", "www.blog.example"], "shop": ["shop.example"]}


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@contextlib.contextmanager
def served(argv: list[str], folder: Path, port: int) -> Iterator[None]:
    """The server runs in the foreground until the block ends; first it tests its configuration."""
    tested = subprocess.run([*argv, "-t"], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stderr
    foreground = ["-g", "daemon off;"] if "nginx" in argv[0] else ["-DFOREGROUND"]
    with (folder / "front.log").open("wb") as log:
        process = subprocess.Popen([*argv, *foreground], stdout=log, stderr=log)
    try:
        assert processes.wait(lambda: listens(port), 120), (folder / "front.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait()


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@pytest.fixture
def sites(router: Any, instance: Any) -> Any:
    for site, names in SITES.items():
        plain = instance(f"{site}-http")
        secure = instance(f"{site}-https", router.certificate(names[0]))
        router.route(site, names, plain.address, secure.address)
    return router


def front(router: Any) -> tuple[Any, int, int]:
    """A client as `router`'s own, of the server in front; and that server's two ports."""
    http, https = ports.free_port(), ports.free_port()
    client = type(router)(
        router.binary,
        router.folder,
        type(router.ports)(http, https, ("127.0.0.1",)),
        router.paths,
    )
    return client, http, https


def test_nginx_passes_requests_and_handshakes_on(sites: Any) -> None:
    nginx = program("nginx")
    client, http, https = front(sites)
    parts = [snippet("nginx", names, sites.ports).text for names in SITES.values()]
    streams, servers = zip(*(part.split("\n}\n\n", 1) for part in parts), strict=True)
    # Two sites share one `stream`, whose map has the names of both.
    names = "\n".join(line for one in streams for line in one.splitlines() if ".example" in line)
    head, _, rest = streams[0].partition("$hostel {\n")
    stream = f"{head}$hostel {{\n{names}\n{rest[rest.index('        default') :]}\n}}\n"
    passes = STREAM.exists()
    conf = sites.folder / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {sites.folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = "\n".join(
        [
            f"load_module {STREAM};" if passes else "",
            f"pid {sites.folder}/nginx.pid;\nerror_log stderr;\nevents {{}}",
            stream if passes else "",
            f"http {{\naccess_log off;\n{temporary}{''.join(servers)}\n}}\n",
        ]
    )
    text = text.replace("    listen [::]:443;\n", "").replace("    listen [::]:80;\n", "")
    text = text.replace("listen 443;", f"listen 127.0.0.1:{https};")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{http};")
    conf.write_text(text)
    with served([nginx, "-e", "stderr", "-c", str(conf)], sites.folder, http):
        for _ in range(3):
            for site, names_ in SITES.items():
                target = "/a%2Fb//c;d?e=%3F"
                assert client.get(names_[-1], target) == f"{site}-http 127.0.0.1 {target}"
        if not passes:
            pytest.skip("nginx has no stream module here: only its part for HTTP was tried")
        for site in SITES:
            assert client.get_tls(f"{site}.example") == f"{site}-https 127.0.0.1 /"


def test_apache_passes_requests_on_and_ends_tls_itself(sites: Any) -> None:
    apache = program("apache2")
    client, http, https = front(sites)
    text = f"ServerRoot {sites.folder}\nPidFile {sites.folder}/apache.pid\nErrorLog /dev/stderr\n"
    text += f"DefaultRuntimeDir {sites.folder}\nServerName front.example\n"
    text += "User www-data\nGroup www-data\n" if os.geteuid() == 0 else ""
    text += f"Listen 127.0.0.1:{http}\nListen 127.0.0.1:{https}\n"
    for module in ("mpm_event", "authz_core", "proxy", "proxy_http", "socache_shmcb", "ssl"):
        text += f"LoadModule {module}_module {APACHE_MODULES}/mod_{module}.so\n"
    for names in SITES.values():
        pair = PurePosixPath(sites.folder / f"{names[0]}.pem")
        made = snippet("apache2", names, sites.ports, Certificate(pair, pair)).text
        text += made.replace("*:80>", f"*:{http}>").replace("*:443>", f"*:{https}>")
    conf = sites.folder / "apache.conf"
    conf.write_text(text)
    with served([apache, "-f", str(conf)], sites.folder, http):
        for _ in range(3):
            for site, names in SITES.items():
                target = "/a%2Fb//c;d?e=%3F"
                assert client.get(names[-1], target) == f"{site}-http 127.0.0.1 {target}"
                assert client.get_tls(names[0], target) == f"{site}-https 127.0.0.1 {target}"
