"""The systemd unit of the router, as text. Pure: installs and starts nothing."""

from __future__ import annotations

import re
from pathlib import Path

UNIT = "hostel-router.service"
USER = "hostel-router"

_PATH = re.compile(r"/[A-Za-z0-9/._+-]+")


def router_unit(haproxy: Path, config: Path) -> str:
    """The text of hostel-router.service.

    No part of it is ever root: one capability lets it listen below 1024. Its admin socket lies in
    a RuntimeDirectory of its own, since systemd removes that folder when the router stops. The
    reload needs kill(1), of the package procps.
    """
    for path in (haproxy, config):
        if not _PATH.fullmatch(str(path)):
            raise ValueError(f"{path} cannot stand in a unit file")
    return _TEMPLATE.replace("@HAPROXY@", str(haproxy)).replace("@CONFIG@", str(config))


_TEMPLATE = f"""\
# Made by Hostel; changes here are undone by its next run. Use `systemctl edit` for your own.

[Unit]
Description=Hostel router (HAProxy)
Documentation=man:haproxy(1)
After=network-online.target
Wants=network-online.target
# However often it fails, sites need it back.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=@HAPROXY@ -Ws -f @CONFIG@
# A configuration that HAProxy refuses never reaches the running one.
ExecReload=@HAPROXY@ -c -q -f @CONFIG@
ExecReload=/bin/kill -USR2 $MAINPID
Restart=always
RestartSec=1
KillMode=mixed
SuccessExitStatus=143
TimeoutStopSec=30
LimitNOFILE=65536
OOMScoreAdjust=-500
# Each of many busy sites has as much of the processors as all others; it serves them all.
CPUWeight=1000

User={USER}
Group={USER}
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
RuntimeDirectory={USER}
RuntimeDirectoryMode=0750
UMask=0077

NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""
