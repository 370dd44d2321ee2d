"""Connections as a router makes them: the PROXY protocol first, which says who the client is."""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


@dataclass(frozen=True)
class Ends:
    """The connection of the client to the router, as the router tells it."""

    source: str = "203.0.113.9"
    source_port: int = 45678
    destination: str = "198.51.100.1"
    destination_port: int = 443

    @property
    def version(self) -> int:
        return ipaddress.ip_address(self.source).version

    def v1(self) -> bytes:
        return (
            f"PROXY TCP{self.version} {self.source} {self.destination} "
            f"{self.source_port} {self.destination_port}\r\n"
        ).encode()

    def v2(self) -> bytes:
        packed = b"".join(
            ipaddress.ip_address(one).packed for one in (self.source, self.destination)
        )
        packed += struct.pack("!HH", self.source_port, self.destination_port)
        family = 0x11 if self.version == 4 else 0x21
        return SIGNATURE + bytes([0x21, family]) + struct.pack("!H", len(packed)) + packed


LOCAL = SIGNATURE + bytes([0x20, 0, 0, 0])
"""What a router's own checks say in version 2: the connection's own ends are meant."""


def connect(address: tuple[str, int], first: bytes, timeout: float = 60) -> socket.socket:
    """A connection on which `first` has been said; TLS or HTTP may follow."""
    connection = socket.create_connection(address, timeout)
    try:
        connection.sendall(first)
    except BaseException:
        connection.close()
        raise
    return connection
