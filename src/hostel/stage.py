"""The stage of one `hostel up`: what stays the same through all its releases.

Finds httpd, claims the ports and makes the certificate; starts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hostel import project as projects
from hostel.errors import Busy, UsageError
from hostel.httpd_build import Httpd
from hostel.project import Project, Running
from hostel.verify import Front

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""What a certificate of the local CA covers beside the declared names and SITE.localhost: a
wildcard below localhost is believed by no client."""


@dataclass(frozen=True)
class Stage:
    """httpd, the ports and the certificate of a site; `https` is None where TLS is off."""

    project: Project
    httpd: Httpd
    addresses: tuple[str, ...]
    http: int
    https: int | None
    certificate: bytes | None
    authority: Path | None

    @property
    def host(self) -> str:
        """The name under which the site is asked: its first own one, else localhost."""
        domains = self.project.site.domains
        return domains[0] if domains else "localhost"

    @property
    def urls(self) -> tuple[str, ...]:
        """Where people find it, the first for this machine's own browser."""
        scheme, port, usual = (
            ("http", self.http, 80) if self.https is None else ("https", self.https, 443)
        )
        names = ["localhost", *self.project.site.domains]
        end = "" if port == usual else f":{port}"
        return tuple(f"{scheme}://{name}{end}" for name in names)

    @property
    def front(self) -> Front:
        return Front(self.addresses[0], self.https or self.http, self.host, self.authority)


def restage(stage: Stage, project: Project) -> Stage:
    """The stage for the site as its file says it now. Its sockets stay as they are.

    Raises UsageError for a change that only a new `up` can take up.
    """
    was, now = stage.project.site, project.site
    if (was.tls.mode, was.server.listen) != (now.tls.mode, now.server.listen):
        raise UsageError(
            "taking up the site file",
            "what it listens on was changed, which a running site cannot do",
            "Stop `hostel up` and start it again.",
        )
    if stage.certificate is None:
        return replace(stage, project=project)
    certificate, authority = _certificate(project)
    return replace(stage, project=project, certificate=certificate, authority=authority)


def front_of(known: Running) -> Front:
    """Where the site that is recorded as running is asked."""
    authority = Path(known.authority) if known.authority else None
    return Front(known.address, known.https_port or known.http_port, known.host, authority)


def set_stage(project: Project, http: int | None, https: int | None) -> Stage:
    """Make sure that nothing stands in the way of bringing the site up.

    Raises Busy when it is up already, HostelError for a taken port or a missing httpd.
    """
    from hostel import httpd_build, ports

    _not_up(project)
    httpd = httpd_build.find(project.machine)
    site = project.site
    tls = site.tls.mode != "off"
    http, secure = http or 8080, (https or 8443) if tls else None
    addresses = tuple(one for one in site.server.listen if ports.usable(one))
    for address in addresses:
        ports.check_free(address, http, project.machine.runner)
        if secure is not None:
            ports.check_free(address, secure, project.machine.runner)
    if secure is None:
        return Stage(project, httpd, addresses, http, None, None, None)
    certificate, authority = _certificate(project)
    return Stage(project, httpd, addresses, http, secure, certificate, authority)


def _not_up(project: Project) -> None:
    who = projects.instance_of(project.layout, project.machine)
    if who is None:
        return
    known = projects.running(project.layout, project.machine)
    where = f" at {known.urls[0]}" if known and known.urls else ""
    raise Busy(
        f"bringing {project.site.name} up",
        f"it is up already{where} (httpd, pid {who.pid})",
        "Stop it first with `hostel down`, or see `hostel status`.",
    )


def _certificate(project: Project) -> tuple[bytes, Path]:
    """The site's certificate with its key, and the CA's: the one that lies there if it is good."""
    from hostel import localca

    authority = localca.ensure(localca.default_folder(), project.machine)
    names = (*project.site.domains, f"{project.site.name}.localhost", *LOCAL_NAMES)
    for path in sorted(project.layout.instance.glob("tls-*.pem")):
        pem = project.machine.read(path)
        if pem is not None and localca.still_good(pem, names, authority):
            return pem, authority.cert_path
    return localca.leaf(authority, names), authority.cert_path
