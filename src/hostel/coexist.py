"""When another server holds ports 80 and 443: what it needs to pass a site's names on. Pure.

The router then listens on other ports, and a person puts the snippet into the other server's
configuration; Hostel never touches that. To the site each such client has the other server's
address, since nothing that a stranger's server says about clients is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from hostel import httpd
from hostel.haproxy import RouterPorts, host_name

NGINX = ("nginx",)
APACHE = ("apache2", "httpd")


@dataclass(frozen=True)
class Snippet:
    """A part of another server's configuration: the text, and what to know about it."""

    text: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Certificate:
    """A certificate of the other server's own, for where TLS has to end there."""

    chain: PurePosixPath
    private_key: PurePosixPath


YOURS = Certificate(
    PurePosixPath("/etc/ssl/certs/SITE.pem"), PurePosixPath("/etc/ssl/private/SITE.key")
)
"""What stands in the snippet until a person writes their own."""


def snippet(
    holder: str, names: Sequence[str], ports: RouterPorts, certificate: Certificate = YOURS
) -> Snippet:
    """What the program that holds the ports needs for these names.

    `ports` are the router's; `certificate` matters to Apache alone.
    """
    checked = [host_name(name) for name in names]
    if not checked:
        raise ValueError("a site without names cannot be passed on")
    if holder in NGINX:
        return _nginx(checked, ports)
    if holder in APACHE:
        return _apache(checked, ports, certificate)
    return Snippet(
        "",
        (
            f"{holder} keeps ports 80 and 443. Let it pass TCP connections for "
            f"{', '.join(checked)} on to 127.0.0.1:{ports.http} (HTTP) and "
            f"127.0.0.1:{ports.https} (TLS, not decrypted), or stop it and let the router have "
            "the ports.",
        ),
    )


def _nginx(names: Sequence[str], ports: RouterPorts) -> Snippet:
    listed = "\n".join(f"        {name} 127.0.0.1:{ports.https};" for name in names)
    return Snippet(
        _NGINX.format(
            names=" ".join(names), listed=listed, http=ports.http, own=_other_port(ports)
        ),
        (
            "The first part belongs beside `http { ... }` in nginx.conf, the second inside it. "
            "The first needs nginx's stream module (Debian: apt-get install libnginx-mod-stream).",
            "TLS passes through to the site, which has its own certificate. nginx's own sites "
            f"must listen on 127.0.0.1:{_other_port(ports)} instead of 443.",
        ),
    )


def _other_port(ports: RouterPorts) -> int:
    return next(port for port in (4443, 4444, 4445) if port not in (ports.http, ports.https))


def _apache(names: Sequence[str], ports: RouterPorts, certificate: Certificate) -> Snippet:
    def on(scheme: str, port: int) -> list[httpd.Node]:
        # A kept connection leads to the site it was opened for, whoever asks on it next.
        target = f"{scheme}://127.0.0.1:{port}/"
        return [
            httpd.line("ServerName", names[0]),
            *([httpd.line("ServerAlias", *names[1:])] if names[1:] else []),
            httpd.line("AllowEncodedSlashes", "NoDecode"),
            httpd.line("ProxyPreserveHost", "On"),
            httpd.line("ProxyPass", "/", target, "nocanon", "disablereuse=On"),
        ]

    tls = [
        httpd.line("SSLEngine", "on"),
        httpd.line("SSLCertificateFile", certificate.chain),
        httpd.line("SSLCertificateKeyFile", certificate.private_key),
        httpd.line("SSLProxyEngine", "on"),
        # It goes no further than this machine; a site's local certificate is signed by no one
        # whom Apache knows.
        httpd.line("SSLProxyVerify", "none"),
        httpd.line("SSLProxyCheckPeerName", "off"),
        httpd.line("SSLProxyCheckPeerExpire", "off"),
    ]
    blocks = [
        httpd.block("VirtualHost", ["*:80"], on("http", ports.http)),
        httpd.block("VirtualHost", ["*:443"], [*on("https", ports.https), *tls]),
    ]
    return Snippet(
        httpd.render(blocks),
        (
            "It needs Apache's modules proxy, proxy_http and ssl "
            "(Debian: a2enmod proxy proxy_http ssl).",
            "Apache cannot pass TLS through: browsers see the certificate named here, which you "
            "renew yourself. The site cannot get one by the tls-alpn-01 challenge meanwhile.",
        ),
    )


_NGINX = """\
stream {{
    map $ssl_preread_server_name $hostel {{
{listed}
        default 127.0.0.1:{own};
    }}
    server {{
        listen 443;
        listen [::]:443;
        ssl_preread on;
        proxy_timeout 2h;
        proxy_pass $hostel;
    }}
}}

server {{
    listen 80;
    listen [::]:80;
    server_name {names};
    client_max_body_size 0;
    location / {{
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        # A kept connection leads to the site it was opened for, whoever asks on it next.
        proxy_set_header Connection close;
        proxy_request_buffering off;
        proxy_buffering off;
        proxy_read_timeout 2h;
        proxy_pass http://127.0.0.1:{http};
    }}
}}
"""
