"""Which addresses a call may go to. Judged on the address that is connected to, not on its name:
a name can point anywhere, and can point elsewhere a moment later.
"""

import ipaddress
from functools import lru_cache

import msgspec

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds keep credentials for whoever asks. Link-local ones need no listing.
_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("100.100.100.200", "192.0.0.192", "fd00:ec2::254")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class EgressRules(msgspec.Struct, frozen=True):
    """Public addresses are always allowed, others only when `allow` has them: `loopback`,
    `private` (never link-local or metadata addresses), an address, or a network (`10.1.0.0/16`)."""

    allow: tuple[str, ...] = ()

    def permit(self, address: str) -> bool:
        """Whether a connection to this IP address may be made. False for what is no address."""
        try:
            found = _plain(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        kind = kind_of(found)
        if kind == "public" or kind in self.allow:
            return True
        return any(found in network for network in map(_network, self.allow) if network is not None)


def kind_of(address: Address) -> str:
    """`public`, `loopback`, `private`, or `special` (link-local, metadata, multicast, reserved)."""
    if address.is_loopback:
        return "loopback"
    if address in _METADATA or address.is_link_local or address.is_multicast:
        return "special"
    if address.is_unspecified or address.is_reserved:
        return "special"
    return "public" if address.is_global else "private"


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 form carries, so that it cannot hide one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


@lru_cache(maxsize=256)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
