"""The table of public addresses, against the standard library and against disguises."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.deploy.net.addresses import why_refused

REFUSED = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "100.64.0.1": "shared",
    "100.100.100.200": "shared",  # Alibaba's metadata
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "168.63.129.16": "cloud",  # Azure's wire server
    "169.254.0.1": "link-local",
    "169.254.169.254": "link-local",  # everybody's metadata
    "169.254.170.2": "link-local",  # Amazon's task credentials
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.192": "reserved",  # Oracle's metadata
    "192.0.2.1": "documentation",
    "192.88.99.1": "6to4",
    "192.168.1.1": "private",
    "198.18.0.1": "benchmarking",
    "198.51.100.7": "documentation",
    "203.0.113.7": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "::ffff:127.0.0.1": "disguise",
    "::ffff:8.8.8.8": "disguise",
    "::127.0.0.1": "disguise",
    "64:ff9b::7f00:1": "NAT64",
    "64:ff9b::808:808": "NAT64",
    "64:ff9b:1::a00:1": "NAT64",
    "100::1": "discarded",
    "2001::1": "Teredo",
    "2001:10::1": "reserved",
    "2001:20::1": "reserved",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "6to4",
    "2002:a9fe:a9fe::1": "6to4",
    "3fff::1": "documentation",
    "5f00::1": "reserved",
    "4000::1": "reserved",
    "fc00::1": "private",
    "fd00:ec2::254": "private",  # Amazon's metadata
    "fd20:ce::254": "private",  # Google's metadata
    "fe80::1": "link-local",
    "fe80::1%eth0": "network interface",
    "2606:4700::1%eth0": "network interface",
    "fec0::1": "private",
    "ff02::1": "multicast",
    "2606:4700::5efe:7f00:1": "ISATAP",
    "2606:4700::200:5efe:a00:1": "ISATAP",
    "": "no address",
    "localhost": "no address",
    "127.1": "no address",
    "0177.0.0.1": "no address",
}
PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001::200e",
    "2620:4f:7fff::1",
)


@pytest.mark.parametrize(("text", "word"), REFUSED.items())
def test_special_addresses_are_named(text: str, word: str) -> None:
    assert word in (why_refused(text) or "taken for public")


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_and_the_neighbours_of_private_ones_pass(text: str) -> None:
    assert why_refused(text) is None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_refused_wherever_the_library_knows_better(
    address: ipaddress.IPv4Address,
) -> None:
    special = (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or not address.is_global
    )
    if special:
        assert why_refused(str(address)) is not None


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_passes_only_as_global_unicast(address: ipaddress.IPv6Address) -> None:
    if why_refused(str(address)) is None:
        assert address.is_global
        assert not address.is_multicast
        assert address.ipv4_mapped is None
        assert address.sixtofour is None
        assert address.teredo is None
        assert address in ipaddress.IPv6Network("2000::/3")


SPECIAL_4 = [
    ipaddress.IPv4Network(text)
    for text in ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
]


@given(st.sampled_from(SPECIAL_4).flatmap(lambda network: st.ip_addresses(network=network)))
def test_every_address_of_a_private_network_is_refused(address: ipaddress.IPv4Address) -> None:
    assert why_refused(str(address)) is not None


@given(
    st.ip_addresses(v=4),
    st.sampled_from(
        (
            lambda value: 0xFFFF << 32 | value,  # mapped
            lambda value: value,  # compatible
            lambda value: 0x0064FF9B << 96 | value,  # NAT64
            lambda value: 0x0064FF9B0001 << 80 | value,  # NAT64 within a site
            lambda value: 0x2002 << 112 | value << 80 | 1,  # 6to4
            lambda value: 0x20010000 << 96 | (value ^ 0xFFFFFFFF),  # Teredo
            lambda value: 0x26064700 << 96 | 0x5EFE << 32 | value,  # ISATAP
            lambda value: 0x26064700 << 96 | 0x02005EFE << 32 | value,  # ISATAP
        )
    ),
)
def test_no_ipv4_address_passes_in_disguise(address: ipaddress.IPv4Address, disguise) -> None:
    dressed = ipaddress.IPv6Address(disguise(int(address)))
    assert why_refused(str(dressed)) is not None
