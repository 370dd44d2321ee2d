"""The httpd configuration of one instance: the whole web server of one release. Pure.

What the guide has around its VirtualHost: modules, limits, logs, headers, mod_wsgi in embedded
mode. The virtual hosts are in `instance_hosts`. Knows nothing of files on disk beyond the paths it
is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostel.httpd import DOLLAR, Node, Unquotable, block, expression_text, line, render
from hostel.httpd_tables import TYPES
from hostel.instance import PROBE_AGENT, Instance
from hostel.instance_hosts import hosts
from hostel.logs import ACCESS_LOG_FORMAT, ERROR_LOG_FORMAT


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
        + render([*_python(instance), *_defaults(instance), *hosts(instance)])
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
    draining = f"-f {expression_text(str(instance.drain_flag))}"
    yield line("SetEnvIfExpr", draining, "nokeepalive")
    # The same for what was in flight when it began.
    was_in_flight = f"expr={draining} && -z reqenv('nokeepalive')"
    yield line("Header", "always", "set", "Connection", "close", was_in_flight)
    # Who asks before sending may never send: httpd must not wait for it to end the answer, nor
    # take the next request for it.
    yield line("SetEnvIf", "Expect", ".", "nokeepalive")
    # Chunks are not of HTTP/1.0: whoever sends them may mean another end of the request.
    yield line(
        "SetEnvIfExpr",
        "%{SERVER_PROTOCOL} == 'HTTP/1.0' && -n req_novary('Transfer-Encoding')",
        "nokeepalive",
    )


def _socket(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
