"""Which addresses are public: a table of all networks that no download may come from."""

import ipaddress

__all__ = ["why_refused"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Written down rather than left to is_global, whose answers differ between Python versions (it has
# taken 224.0.0.1, 64:ff9b::7f00:1 and 2002:7f00:1:: for public). From IANA's registries of
# special-purpose addresses.
_REFUSED_4 = [
    (ipaddress.IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a provider's customers"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's own service"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
]
_REFUSED_6 = [
    (ipaddress.IPv6Network(network), reason)
    for network, reason in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "an IPv4 address in disguise"),
        ("::/96", "an IPv4 address in disguise"),
        ("64:ff9b::/96", "an IPv4 address in disguise (NAT64)"),
        ("64:ff9b:1::/48", "an IPv4 address in disguise (NAT64)"),
        ("100::/64", "discarded"),
        ("2001::/32", "an IPv4 address in disguise (Teredo)"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "an IPv4 address in disguise (6to4)"),
        ("2620:4f:8000::/48", "reserved"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# The last 64 bits of ISATAP addresses: 0000:5efe or 0200:5efe, then an IPv4 address.
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


def why_refused(text: str) -> str | None:
    """Say in one or a few words why an address is not public, or None where it is.

    ``text`` is an IPv4 or IPv6 address as a resolver or ``getpeername`` gives it.
    """
    try:
        address: Address = ipaddress.ip_address(text)
    except ValueError:
        return "no address"
    if isinstance(address, ipaddress.IPv4Address):
        reason = next((why for network, why in _REFUSED_4 if address in network), None)
    elif address.scope_id is not None:
        reason = "bound to one network interface"
    else:
        reason = next((why for network, why in _REFUSED_6 if address in network), None)
        if reason is None and address not in _GLOBAL_UNICAST:
            reason = "reserved"
        if reason is None and (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
            reason = "an IPv4 address in disguise (ISATAP)"
    if reason is None and (not address.is_global or address.is_multicast):
        reason = "reserved"
    return reason
