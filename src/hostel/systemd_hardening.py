"""What no process of a site may do, as settings of systemd units. Pure.

One text for instances, workers and jobs, with the reason for each choice that is not plain.
Works from systemd 247 on; what an older one does not know it leaves out with a warning.
"""

from __future__ import annotations

from hostel.platforms.debian import INSTANCES

HARDENING = f"""
UMask=0027
LimitNOFILE=65536
# LimitCORE= is set by boot/launch.py, for what is run by hand too.
# No more of the processors than any other where all want them, however many processes it has.
CPUWeight=100
LogRateLimitIntervalSec=30s
LogRateLimitBurst=2000
SyslogIdentifier=%N

# Files: all read-only but ReadWritePaths and the folders of its own; no homes; a /tmp of its own.
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
TemporaryFileSystem=/dev/shm:mode=1777,size=50%,nosuid,nodev
PrivateMounts=yes
PrivateDevices=yes
ProtectProc=invisible
# ProcSubset=pid would hide /proc/meminfo, /proc/cpuinfo and /proc/stat, which psutil reads.

# Rights: none of root's, and no way to get any. (So /usr/sbin/sendmail, which is setgid, cannot
# be run: mail goes by SMTP.)
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
# PrivateUsers= stays off: to set it up systemd forks within the unit, so a site that has used up
# its tasks could not even be drained; and there is no capability left that it would confine.
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
KeyringMode=private
# Shared memory of its own. RemoveIPC= stays off: it removes all of the user's, also that of the
# site's next generation, which runs by then.
PrivateIPC=yes

# The kernel: nothing of it can be changed.
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes

# System calls: those of services, without those that only root can use. What is refused fails
# with EPERM, and most programs go on. @resources stays: nice, CPU affinity and NUMA are asked for
# by numerical libraries and can only lower what a process has.
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
# MemoryDenyWriteExecute= stays off: JIT compilers (numba, LuaJIT, node, PCRE) and cffi need such
# memory.

# Networks: any address, since databases and APIs are anywhere. AF_NETLINK is how the C library
# lists interfaces. SocketBindDeny= is not set: Debian's systemd is built without it, and apps
# listen on loopback for their own subprocesses. Where instances listen only the router connects:
# they believe whoever does, by the PROXY protocol, from where a request comes.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
IPAddressDeny={INSTANCES}
"""
