"""Which addresses alerts may be sent to: none inside this network unless it was allowed, link-local ones never.

Who can write the name of an endpoint's host in some DNS must not be able to make this process talk to a metadata
service or a database (server-side request forgery).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import SOCK_STREAM, getaddrinfo

_NAT64 = ip_network("64:ff9b::/96")
#: Of cloud providers, besides the link-local one of most: they tell machines their credentials.
_METADATA = {ip_address("100.100.100.200"), ip_address("fd00:ec2::254")}


class NotAllowed(Exception):
    """The endpoint's host has an address that must not be connected to; says why."""


def allowed_addresses(host: str, port: int, allow_private: bool) -> list[str]:
    """The addresses of a host, all of which may be connected to. They are connected to as they are: a name that is
    resolved twice may be two hosts.

    Raises:
        NotAllowed: one of them may not.
        OSError: the name cannot be resolved.
    """
    found = getaddrinfo(host, port, type=SOCK_STREAM)
    addresses = list(dict.fromkeys(str(place[4][0]) for place in found))
    for address in addresses:
        if why := _refusal(address, allow_private):
            raise NotAllowed(why)
    return addresses


def _refusal(text: str, allow_private: bool) -> str:
    """Why an address must not be connected to; "" where it may."""
    address = _embedded(ip_address(text))
    reserved = address.is_reserved and not address.is_loopback  # ::1 is counted among both
    never = address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA
    if never or reserved:
        return "its host has a link-local, metadata or reserved address, which is never connected to"
    if not address.is_global and not allow_private:
        return "its host has a private address or one of this machine, which has to be allowed for the endpoint"
    return ""


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
