"""Where a webhook may go: over HTTPS to public addresses, never into the network the service stands in."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

# Addresses that stand for IPv4 ones: what looks public may lead to a private one behind a translator.
TRANSLATED = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")))


class NotAllowed(Exception):
    """A message must not go there; says why."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A checked URL: host and port to connect to, and the target of the request."""

    host: str
    port: int
    target: str


def parse(url: str) -> Destination:
    """The parts of a URL; `NotAllowed` unless it is plain HTTPS."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 443
    except ValueError as error:
        raise NotAllowed(f"url: must be a URL: {error}") from error
    if parts.scheme != "https" or not host:
        raise NotAllowed("url: must begin with https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise NotAllowed("url: must not carry a user or a password")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise NotAllowed("url: must be printable ASCII without spaces")
    return Destination(host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet: not private, loopback, link-local, multicast, or a disguise."""
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif any(found in network for network in TRANSLATED):
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def resolve(destination: Destination) -> str:
    """The address to connect to, looked up now; `NotAllowed` when any that the name has is not public."""
    try:
        found = socket.getaddrinfo(destination.host, destination.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotAllowed(f"{destination.host} cannot be resolved: {error}") from error
    addresses = [str(entry[4][0]) for entry in found]
    if inside := [address for address in addresses if not is_public(address)]:
        raise NotAllowed(f"{destination.host} must have public addresses only, has {inside[0]}")
    return addresses[0]
