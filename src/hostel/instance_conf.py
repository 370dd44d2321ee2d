"""The httpd configuration of one instance: the whole web server of one release. Pure.

What the guide's VirtualHost became: TLS, redirects, static files, limits, headers, mod_wsgi in
embedded mode. Knows nothing of files on disk beyond the paths it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hostel.httpd import DOLLAR, Node, Unquotable, block, expression_text, line, render
from hostel.httpd_tables import COMPRESSIBLE, TLS_CIPHERS, TYPES
from hostel.logs import ACCESS_LOG_FORMAT, ERROR_LOG_FORMAT

PROBE_AGENT = "hostel-probe"
"""User-Agent of Hostel's own requests; they stay out of the access log."""

MARKER = "/.well-known/hostel/"
"""Below it each generation answers 204 at its own name, so that a switch can be seen."""


@dataclass(frozen=True)
class StaticFolder:
    """A URL prefix without its closing slash, and the folder below it."""

    prefix: str
    folder: Path


@dataclass(frozen=True)
class Behind:
    """A router in front: it passes connections on with the PROXY protocol, and these are the
    ports that visitors see.
    """

    http: int
    https: int


@dataclass(frozen=True)
class Instance:
    """All that an instance's configuration depends on. Times in seconds, sizes in bytes."""

    name: str
    modules_dir: Path
    builtin: frozenset[str]
    mod_wsgi: Path
    venv: Path
    script: Path
    run: Path
    log: Path
    drain_flag: Path
    generation: str
    addresses: tuple[str, ...]
    http_port: int
    https_port: int
    certificate: Path | None
    domains: tuple[str, ...]
    any_name: bool
    processes: int
    threads: int
    request_timeout: int
    max_body: int
    static: tuple[StaticFolder, ...]
    keepalive: int = 15
    rotatelogs: Path | None = None
    behind: Behind | None = None

    @property
    def public_port(self) -> int:
        """The port of the site's own addresses, as visitors see it."""
        if self.behind is not None:
            return self.behind.https if self.certificate else self.behind.http
        return self.https_port if self.certificate else self.http_port


def modules(instance: Instance) -> tuple[str, ...]:
    """The httpd modules this instance uses, by the name of their files."""
    wanted = ["mpm_event", "unixd", "authz_core", "log_config", "mime", "alias", "headers"]
    wanted += ["setenvif", "reqtimeout"]
    if instance.certificate:
        wanted += ["ssl", "http2", "rewrite"]
    if instance.static:
        wanted += ["filter", "deflate"]
    if instance.behind:
        wanted += ["remoteip"]
    return tuple(
        name
        for name in wanted
        if f"mod_{name}.c" not in instance.builtin and f"{name}.c" not in instance.builtin
    )


def configuration(instance: Instance) -> str:
    """The text of httpd.conf. Raises `httpd.Unquotable` for a path httpd cannot be told."""
    return (
        f"# {instance.name}: written by Hostel; it is replaced at the next change.\n"
        + render([*_server(instance), *_limits(instance), *_logging(instance)])
        + render([*_python(instance), *_defaults(instance), *_hosts(instance)])
    )


def _server(instance: Instance) -> Iterator[Node]:
    for name in modules(instance):
        yield line("LoadModule", f"{name}_module", instance.modules_dir / f"mod_{name}.so")
    yield line("LoadModule", "wsgi_module", instance.mod_wsgi)
    yield line("Define", DOLLAR, "$")
    yield line("ServerRoot", instance.run)
    yield line("DefaultRuntimeDir", instance.run)
    yield line("PidFile", instance.run / "httpd.pid")
    yield line("ServerName", "localhost")
    yield line("ServerTokens", "Prod")
    yield line("ServerSignature", "Off")
    yield line("TraceEnable", "Off")
    for address in instance.addresses:
        yield line("Listen", _socket(address, instance.http_port))
        if instance.certificate:
            yield line("Listen", _socket(address, instance.https_port))
    if instance.behind:
        yield line("RemoteIPProxyProtocol", "On")


def _limits(instance: Instance) -> Iterator[Node]:
    workers = instance.processes * instance.threads
    # Children that finish old requests after a reload still hold a slot: leave room for them.
    yield line("ServerLimit", min(instance.processes * 4, 20000))
    yield line("StartServers", instance.processes)
    yield line("ThreadLimit", instance.threads)
    yield line("ThreadsPerChild", instance.threads)
    yield line("MaxRequestWorkers", workers)
    yield line("MinSpareThreads", 1)
    yield line("MaxSpareThreads", workers)
    yield line("MaxConnectionsPerChild", 0)
    yield line("AsyncRequestWorkerFactor", 4)
    yield line("ListenBacklog", 1024)
    yield line("Timeout", instance.request_timeout)
    yield line(
        "RequestReadTimeout",
        "handshake=10",
        "header=10-30,MinRate=500",
        f"body={instance.request_timeout},MinRate=500",
    )
    yield line("KeepAlive", "On")
    yield line("KeepAliveTimeout", instance.keepalive)
    yield line("MaxKeepAliveRequests", 0)
    yield line("LimitRequestBody", instance.max_body)
    # HTTP/0.9 has no status and no Host; else httpd would answer it.
    yield line("HttpProtocolOptions", "Strict", "Require1.0")


def _logging(instance: Instance) -> Iterator[Node]:
    yield line("ErrorLog", _log(instance, "error"))
    yield line("ErrorLogFormat", ERROR_LOG_FORMAT)
    # mod_ssl's warnings are about what is decided here anyway: no session cache, local names.
    tls = ["ssl:error"] if instance.certificate else []
    router = ["remoteip:error"] if instance.behind else []  # It says at each start that it is on.
    yield line("LogLevel", "warn", *tls, *router, "wsgi:info", "mpm_event:notice")
    yield line("LogFormat", ACCESS_LOG_FORMAT, "hostel")
    yield line(
        "CustomLog",
        _log(instance, "access"),
        "hostel",
        f"expr=%{{HTTP_USER_AGENT}} != {expression_text(PROBE_AGENT)}",
    )


def _log(instance: Instance, kind: str) -> str:
    """A file, or the program that writes files of one day each: so nobody has to be signalled.

    httpd splits the command at spaces and takes no quotes in it, so none may be in the path.
    """
    if instance.rotatelogs is None:
        return str(instance.log / f"{kind}.log")
    if not re.fullmatch(r"[A-Za-z0-9/._-]+", f"{instance.rotatelogs}{instance.log}"):
        raise Unquotable(f"{instance.log} cannot be given to rotatelogs")
    return f"|{instance.rotatelogs} -l {instance.log}/{kind}.%Y-%m-%d.log 86400"


def _python(instance: Instance) -> Iterator[Node]:
    yield line("WSGIPythonHome", instance.venv)
    yield line("WSGIApplicationGroup", "%{GLOBAL}")
    yield line("WSGIScriptReloading", "Off")
    yield line("WSGIPassAuthorization", "On")
    # The app is told HEAD; else it would see GET, since there are output filters.
    yield line("WSGIMapHEADToGet", "Off")
    # A body without a length is held to LimitRequestBody while it is read.
    yield line("WSGIChunkedRequest", "On")
    yield line(
        "WSGIImportScript",
        instance.script,
        "process-group=%{GLOBAL}",
        "application-group=%{GLOBAL}",
    )


def _defaults(instance: Instance) -> Iterator[Node]:
    yield block(
        "Directory",
        ["/"],
        [
            line("Options", "FollowSymLinks"),
            line("AllowOverride", "None"),
            line("Require", "all", "denied"),
        ],
    )
    for kind, endings in TYPES.items():
        yield line("AddType", kind, *endings.split())
    yield line("TypesConfig", "/dev/null")
    yield line("RequestHeader", "unset", "Proxy", "early")
    # A response header of the app wins: these are only what it did not decide.
    yield line("Header", "setifempty", "X-Content-Type-Options", "nosniff")
    yield line("Header", "setifempty", "Referrer-Policy", "strict-origin-when-cross-origin")
    yield line("SetEnvIfExpr", f"-f {expression_text(str(instance.drain_flag))}", "nokeepalive")
    # Who asks before sending may never send: httpd must not wait for it to end the answer, nor
    # take the next request for it.
    yield line("SetEnvIf", "Expect", ".", "nokeepalive")
    # Chunks are not of HTTP/1.0: whoever sends them may mean another end of the request.
    yield line(
        "SetEnvIfExpr",
        "%{SERVER_PROTOCOL} == 'HTTP/1.0' && -n req_novary('Transfer-Encoding')",
        "nokeepalive",
    )


def _hosts(instance: Instance) -> Iterator[Node]:
    if instance.certificate is None:
        yield from _site_hosts(instance, instance.http_port, [])
        return
    yield from _redirects(instance)
    yield line("SSLProtocol", "-all", "+TLSv1.2", "+TLSv1.3")
    yield line("SSLCipherSuite", TLS_CIPHERS)
    yield line("SSLHonorCipherOrder", "Off")
    yield line("SSLSessionCache", "none")
    yield line("SSLStrictSNIVHostCheck", "Off")
    # Its threads come as they are needed; one for each of ours would cost memory all the time.
    yield line("H2MinWorkers", 4)
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
given them back by boot/wsgi.py. See docs/decisions/0007-encoded-slashes.md."""


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


def _socket(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
