"""The other servers, each set up the way its own documentation does."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import free_port, running
from hostel.account import Account

NGINX = """\
daemon off;
{user}
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log {folder}/access.log;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream app {{ server {upstream}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""

PROXY = """\
location / {
    proxy_pass http://app;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_redirect off;
}"""

UWSGI = """\
location / {
    include /etc/nginx/uwsgi_params;
    uwsgi_pass app;
}"""


@dataclass(frozen=True)
class Place:
    """Where rivals run: a folder below which each gets its own, their user, their Python."""

    work: Path
    user: Account
    venv: Path

    def folder(self, name: str) -> Path:
        """A new folder that belongs to the user."""
        path = self.work / name
        path.mkdir()
        if self.user != Account.current():
            os.chown(path, self.user.uid, self.user.gid)
        return path


@contextlib.contextmanager
def nginx(place: Place, name: str, location: str, upstream: str = "127.0.0.1:1") -> Iterator[str]:
    folder, port = place.folder(name), free_port()
    root = place.user != Account.current()
    conf = folder / "nginx.conf"
    conf.write_text(
        NGINX.format(
            user=f"user {place.user.name};" if root else "",
            folder=folder,
            upstream=upstream,
            port=port,
            location=location,
        )
    )
    url = f"http://127.0.0.1:{port}/"
    command = ["/usr/sbin/nginx", "-c", conf, "-p", folder, "-e", folder / "error.log"]
    answers = url + "big.bin" if "root" in location else url
    with running(command, answers, user=place.user, root=root, log=folder / "output.log"):
        yield url


@contextlib.contextmanager
def gunicorn(
    place: Place,
    name: str,
    app: str,
    code: Path,
    options: Sequence[str] = ("--workers=2", "--threads=4"),
    env: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, int]]:
    """gunicorn alone on a port; gives its URL and the pid of its master."""
    folder, port = place.folder(name), free_port()
    command = [
        *(place.venv / "bin" / "gunicorn", *options, "--worker-class=gthread"),
        *(f"--bind=127.0.0.1:{port}", f"--chdir={code}", app),
    ]
    url, log = f"http://127.0.0.1:{port}/", folder / "output.log"
    home = {"HOME": str(folder), **(env or {})}  # where it keeps its control socket
    with running(command, url, user=place.user, env=home, log=log) as pid:
        yield url, pid


@contextlib.contextmanager
def nginx_gunicorn(
    place: Place, name: str, app: str, code: Path, env: Mapping[str, str] | None = None
) -> Iterator[str]:
    with gunicorn(place, f"{name}-gunicorn", app, code, env=env) as (behind, _pid):
        upstream = behind.removeprefix("http://").rstrip("/")
        with nginx(place, f"{name}-gunicorn-nginx", PROXY, upstream) as url:
            yield url


@contextlib.contextmanager
def nginx_uwsgi(place: Place, name: str, script: Path) -> Iterator[str]:
    folder = place.folder(f"{name}-uwsgi")
    command = [
        *("/usr/bin/uwsgi-core", "--plugin", "python3", "--master", "--need-app"),
        *("--processes", "2", "--threads", "4", "--die-on-term", "--disable-logging"),
        *("--socket", folder / "app.sock", "--wsgi-file", script),
    ]
    log = folder / "output.log"
    with (
        running(command, folder / "app.sock", user=place.user, log=log),
        nginx(place, f"{name}-uwsgi-nginx", UWSGI, f"unix:{folder}/app.sock") as url,
    ):
        yield url


@contextlib.contextmanager
def mod_wsgi_express(place: Place, name: str, script: Path, *options: str) -> Iterator[str]:
    folder, port = place.folder(name), free_port()
    command = [
        *(place.venv / "bin" / "mod_wsgi-express", "start-server", script),
        *("--host", "127.0.0.1", "--port", str(port), "--server-root", folder / "root", *options),
    ]
    url = f"http://127.0.0.1:{port}/"
    with running(command, url, user=place.user, log=folder / "output.log"):
        yield url
