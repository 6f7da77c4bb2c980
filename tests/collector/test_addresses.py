"""Client addresses and trusted proxies."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.addresses import TrustedProxies, canonical_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("0.0.0.0", "0.0.0.0"),  # how a client asks not to be located
        ("2001:DB8::0:1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("203.0.113.7:8080", ""),
        ("203.0.113", ""),
        ("example.com", ""),
        ("1.2.3.4\0", ""),
        ("", ""),
    ],
)
def test_canonical_address(text: str, address: str) -> None:
    assert canonical_address(text) == address


@given(st.ip_addresses())
def test_every_address_is_its_own_canonical_form(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    found = canonical_address(str(address))
    mapped = getattr(address, "ipv4_mapped", None)
    assert ipaddress.ip_address(found) == (mapped or address)


@given(st.text(max_size=60))
def test_no_text_raises(text: str) -> None:
    canonical_address(text)


def test_forwarded_for_is_not_believed_from_strangers() -> None:
    assert TrustedProxies("").client_address("203.0.113.7", ["198.51.100.1"]) == "203.0.113.7"
    assert TrustedProxies("10.0.0.0/8").client_address("203.0.113.7", ["198.51.100.1"]) == "203.0.113.7"


def test_the_nearest_untrusted_hop_is_the_client() -> None:
    proxies = TrustedProxies("10.0.0.0/8, 2001:db8::/32")
    assert proxies.client_address("10.0.0.1", ["192.0.2.66, 198.51.100.1, 10.1.1.1"]) == "198.51.100.1"
    assert proxies.client_address("2001:db8::1", ["198.51.100.1"]) == "198.51.100.1"
    assert proxies.client_address("10.0.0.1", []) == "10.0.0.1"


def test_several_headers_are_one_list() -> None:
    proxies = TrustedProxies("10.0.0.0/8")
    assert proxies.client_address("10.0.0.1", ["192.0.2.66", "198.51.100.1, 10.1.1.1"]) == "198.51.100.1"
    assert proxies.client_address("10.0.0.1", ["198.51.100.1", "10.1.1.1"]) == "198.51.100.1"


def test_a_hop_that_is_no_address_ends_the_walk() -> None:
    proxies = TrustedProxies("10.0.0.0/8")
    assert proxies.client_address("10.0.0.1", ["198.51.100.1, unknown"]) == "10.0.0.1"
    assert proxies.client_address("10.0.0.1", ["198.51.100.1, unknown, 10.0.0.2"]) == "10.0.0.2"


def test_a_bad_network_is_named() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/33"):
        TrustedProxies("10.0.0.0/33")
