"""An instance to vary in the tests of its configuration, and the directives in a text."""

from __future__ import annotations

from pathlib import Path

from hostel.instance import Instance, StaticFolder

PLAIN = Instance(
    name="shop",
    modules_dir=Path("/usr/lib/apache2/modules"),
    builtin=frozenset({"core.c", "mod_unixd.c"}),
    mod_wsgi=Path("/cache/mod_wsgi.so"),
    venv=Path("/srv/shop/venv"),
    script=Path("/srv/shop/wsgi.py"),
    run=Path("/srv/shop/run"),
    log=Path("/srv/shop/log"),
    drain_flag=Path("/srv/shop/drain"),
    generation="0123456789abcdef",
    addresses=("127.0.0.1", "::1"),
    http_port=8080,
    https_port=8443,
    certificate=Path("/srv/shop/tls.pem"),
    domains=(),
    any_name=False,
    processes=2,
    threads=8,
    request_timeout=60,
    max_body=1000,
    static=(StaticFolder("/static", Path("/srv/shop/static")),),
)


def lines(text: str, directive: str) -> list[str]:
    """The lines of a configuration that begin with this directive."""
    return [line.strip() for line in text.splitlines() if line.split()[0] == directive]
