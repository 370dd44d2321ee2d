"""The virtual hosts of an instance: its names, redirects, TLS and static files. Pure.

Whom a request is for, and where it is led; what holds for all of them is in `instance_conf`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostel.httpd import Node, block, line
from hostel.httpd_tables import COMPRESSIBLE, TLS_CIPHERS
from hostel.instance import MARKER, Instance


def hosts(instance: Instance) -> Iterator[Node]:
    """Every virtual host of the instance, and its TLS."""
    if instance.certificate is None:
        yield from _site_hosts(instance, instance.http_port, [])
        return
    yield from _redirects(instance)
    yield line("SSLProtocol", "-all", "+TLSv1.2", "+TLSv1.3")
    yield line("SSLCipherSuite", TLS_CIPHERS)
    yield line("SSLHonorCipherOrder", "Off")
    yield line("SSLSessionCache", "none")
    yield line("SSLStrictSNIVHostCheck", "Off")
    # One for each of ours, and a fixed number: with fewer than a process has connections at work,
    # or with a number that grows, mod_http2 forgets to answer streams (seen with 2.4.71).
    yield line("H2MinWorkers", instance.threads)
    yield line("H2MaxWorkers", instance.threads)
    yield from _site_hosts(
        instance,
        instance.https_port,
        [
            line("SSLEngine", "On"),
            line("SSLCertificateFile", instance.certificate),
            line("Protocols", "h2", "http/1.1"),
            line("H2Upgrade", "Off"),
        ],
    )


def _site_hosts(instance: Instance, port: int, tls: list[Node]) -> Iterator[Node]:
    """The virtual host of the site, after one that refuses every name that is not the site's."""
    if not instance.any_name:
        yield _refusal(port, "No site answers to this name here.", *tls)
    first, *others = names(instance)
    yield block(
        "VirtualHost",
        [f"*:{port}"],
        [
            line("ServerName", f"{first}:{instance.public_port}" if instance.behind else first),
            *([line("ServerAlias", *others)] if others else []),
            *tls,
            ENCODED_SLASHES,
            *(_limit_of_http2(instance) if instance.certificate else []),
            line("Redirect", "204", f"{MARKER}{instance.generation}"),
            *_static(instance),
            block("Location", ["/"], [line("Require", "all", "granted")]),
            line("WSGIScriptAlias", "/", instance.script),
        ],
    )


def _refusal(port: int, text: str, *tls: Node) -> Node:
    """The virtual host for every name that no other one has."""
    return block(
        "VirtualHost",
        [f"*:{port}"],
        [
            line("ServerName", "unknown.invalid"),
            *tls,
            line("Redirect", "421", "/"),
            line("ErrorDocument", "421", text),
        ],
    )


def _limit_of_http2(instance: Instance) -> list[Node]:
    """LimitRequestBody alone makes mod_wsgi answer a large body with an empty 200 over HTTP/2."""
    return [
        line("RewriteEngine", "On"),
        line("RewriteCond", "%{HTTP:Content-Length}", f"-gt{instance.max_body}"),
        line("RewriteRule", "^", "-", "[R=413,L]"),
    ]


ENCODED_SLASHES = line("AllowEncodedSlashes", "On")
"""So that `%2F` arrives, decoded in PATH_INFO as WSGI wants it; not inherited by a VirtualHost.
Slashes are merged (httpd's default), so that what guards a path sees it as Alias does; the app is
given them back by boot/faithful.py. See docs/decisions/0007-encoded-slashes.md."""


def names(instance: Instance) -> tuple[str, ...]:
    """The names the site answers to, its declared ones first."""
    if instance.behind:
        return instance.domains
    return (*instance.domains, "localhost", "*.localhost", "127.0.0.1", "::1", "[::1]")


def _redirects(instance: Instance) -> Iterator[Node]:
    """Port 80's work: to the declared name, never to what a stranger's Host header says.

    The names of this machine keep their name, so that a site with a public name can be tried on
    a laptop. The path is taken from the request line, byte for byte: mod_alias would escape an
    encoded slash once more. Where other machines may ask and no name is declared, there is
    nothing to lead them to.
    """
    if instance.any_name:
        yield _refusal(instance.http_port, "Ask with https: no name of this site is declared.")
    port = "" if instance.public_port == 443 else f":{instance.public_port}"
    canonical = instance.domains[0] if instance.domains else "localhost"
    here = () if instance.behind else ("localhost", "127.0.0.1", "[::1]")
    for name in dict.fromkeys([canonical, *here]):
        yield block(
            "VirtualHost",
            [f"*:{instance.http_port}"],
            [
                # ServerName takes no IPv6 address, ServerAlias does.
                *(
                    [line("ServerName", "ipv6.invalid"), line("ServerAlias", name)]
                    if name.startswith("[")
                    else [line("ServerName", name)]
                ),
                ENCODED_SLASHES,
                line("RewriteEngine", "On"),
                line("RewriteCond", "%{THE_REQUEST}", "^[^ ]+ (?:https?://[^/ ]+)?(/[^? ]*)"),
                line("RewriteRule", "^", f"https://{name}{port}%1", "[R=308,NE,L]"),
            ],
        )


def _static(instance: Instance) -> Iterator[Node]:
    for static in instance.static:
        prefix = re.sub(r"([^A-Za-z0-9/_-])", r"[\1]", static.prefix)
        yield line("RedirectMatch", "404", f"^{prefix}/(?:.*/)?[.]")
        yield line("Alias", f"{static.prefix}/", f"{static.folder}/")
        yield block(
            "Location",
            [f"{static.prefix}/"],
            [
                line("AddOutputFilterByType", "DEFLATE", *COMPRESSIBLE),
                # mod_deflate marks its ETags, and httpd would not know them again.
                line("RequestHeader", "edit", "If-None-Match", '^"(.*)-gzip"$', '"$1"'),
                line("Header", "merge", "Vary", "Accept-Encoding"),
                line("Header", "setifempty", "Cache-Control", "no-cache"),
            ],
        )
