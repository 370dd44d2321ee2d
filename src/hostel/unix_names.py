"""The names that a site's things have in the operating system. Pure: whether they exist, others
know.
"""

from __future__ import annotations

import re
from hashlib import sha256

PREFIX = "hostel-"
"""How the name of every user begins that Hostel makes; it touches no other."""

LONGEST = 32
"""What useradd, utmp and the kernel's tools agree on."""

_USER = re.compile(r"hostel-[a-z0-9][a-z0-9-]*")


def user_of(site: str) -> str:
    """The system user, and its group, that the site of this name runs as.

    A name that would fill all 32 characters ends in a digest instead. Only those names are 32
    long, so no short site name can be chosen that makes the user of a long one.
    """
    plain = PREFIX + site
    if len(plain) < LONGEST:
        return plain
    mark = sha256(site.encode()).hexdigest()[:10]
    return f"{plain[: LONGEST - 1 - len(mark)]}-{mark}"


def is_ours(user: str) -> bool:
    """Whether Hostel may make or remove a user of this name."""
    return len(user) <= LONGEST and _USER.fullmatch(user) is not None
