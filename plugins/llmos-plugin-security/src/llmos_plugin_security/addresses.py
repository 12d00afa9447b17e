"""Addresses of the network: this machine, a private network, what hands out a machine's credentials."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

_METADATA = {"metadata.google.internal", "metadata.goog", "metadata", "instance-data"}
_METADATA_ADDRESSES = {"100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"}
_PRIVATE_ENDS = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


def host_of(url: str) -> str:
    """The host of an address, with or without a scheme. Raises ValueError for what is no address."""
    return (urlsplit(url if "://" in url else f"//{url}").hostname or "").rstrip(".")


def number_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The number that a host is written as, in any of the ways that programs take it."""
    try:
        if re.fullmatch(r"[0-9a-fA-FxX.]+", host):
            return ipaddress.IPv4Address(socket.inet_aton(host))
        number = ipaddress.ip_address(host)
    except (ValueError, OSError):
        return None
    return (number.ipv4_mapped if isinstance(number, ipaddress.IPv6Address) else None) or number


def is_private(host: str) -> bool:
    """Whether it is this machine, or one of its own network."""
    number = number_of(host)
    if number is not None:
        return not number.is_global
    return host == "localhost" or host.endswith(_PRIVATE_ENDS) or "." not in host


def is_here(url: str) -> bool:
    """Whether an address is this machine itself."""
    try:
        host = host_of(url)
    except ValueError:
        return False
    number = number_of(host)
    return number.is_loopback if number is not None else host == "localhost" or host.endswith(".localhost")


def is_metadata(url: str) -> bool:
    """Whether an address is where clouds hand out a machine's credentials."""
    try:
        host = host_of(url)
    except ValueError:
        return False
    number = number_of(host)
    if number is None:
        return host.lower() in _METADATA
    return number.is_link_local or str(number) in _METADATA_ADDRESSES
