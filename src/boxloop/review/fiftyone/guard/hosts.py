"""Name the hosts under which a session's server answers: other names may be rebound to it."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"

_HTTP_PORT = 80
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:/@\s]+)(:(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True)
class Hosts:
    """The names, in small letters, and the port.

    ``any_address``: whether any IP address is a name, too. No page of another site can come by
    one, other than by a name.
    """

    port: int
    names: frozenset[str] = frozenset({LOOPBACK, "localhost"})
    any_address: bool = False

    @classmethod
    def of(cls, host: str, port: int) -> Hosts:
        """Return the names for what ``--host`` said."""
        host = host.lower()
        own = {LOOPBACK, "localhost", host}
        if not is_everywhere(host):
            return cls(port, frozenset(own))
        name = socket.gethostname().lower()
        own |= {name, f"{name}.local", socket.getfqdn().lower()}
        return cls(port, frozenset(own), any_address=True)

    def include(self, header: str) -> bool:
        """Return whether a Host header names this server."""
        parts = _HOST.fullmatch(header.lower())
        if parts is None or int(parts["port"] or _HTTP_PORT) != self.port:
            return False
        name = parts["name"].strip("[]")
        return name in self.names or (self.any_address and _is_address(name))


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, seen from itself."""
    if host == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def is_everywhere(host: str) -> bool:
    """Return whether a host stands for all addresses of this machine."""
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
