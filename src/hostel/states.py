"""The states of every kind of resource, as data. Pure: observing and enacting is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from hostel.account import Account
from hostel.plan import Key, State, key


@dataclass(frozen=True, kw_only=True)
class FileState(State):
    """A file as it is or should be.

    `owner` is `user:group` by their names, so that it can be planned before they are made; a
    number stands where the system has no name.
    """

    digest: str
    mode: int
    owner: str
    content: bytes = field(compare=False, repr=False)
    secret: bool = field(default=False, compare=False)

    @classmethod
    def of(
        cls, content: bytes, *, mode: int, owner: Account | str, secret: bool = False
    ) -> FileState:
        return cls(
            digest=sha256(content).hexdigest(),
            mode=mode,
            owner=owner if isinstance(owner, str) else owner.owner,
            content=content,
            secret=secret,
        )


def file_key(path: Path) -> Key:
    return key("file", path)


def surrounding(path: Path, owner: str) -> tuple[Key, ...]:
    """What something at this path needs to be there: folders around it, its owner and group.

    Said of what is seen, it makes the order in which things go: what is in a folder before it.
    """
    users = (key("user", name) for name in owner.split(":"))
    return (*users, *(key("folder", folder) for folder in path.parents))


@dataclass(frozen=True, kw_only=True)
class InstanceState(State):
    """A running httpd. A change of `core` needs a new process, one of `config` a reload.

    `boot` is the path of the boot.json that holds the environment it is started with.
    """

    core: str
    config: str
    boot: str


@dataclass(frozen=True, kw_only=True)
class Done(State):
    """Something was done for the input with this digest."""

    digest: str
