"""Client addresses as clients and proxies write them."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.events import ip_address
from collector.events.ip_address import canonical_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("0.0.0.0", "0.0.0.0"),  # how a client asks not to be located
        ("2001:DB8::0:1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("203.0.113.7:8080", "203.0.113.7"),
        ("203.0.113.7:", "203.0.113.7"),
        ("203.0.113.7:_hidden", "203.0.113.7"),
        ("[2001:db8::1]:41532", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ('"[2001:db8::1%eth0]:80"', "2001:db8::1"),
        (" 203.0.113.7\t", "203.0.113.7"),
        ("203.0.113.7, 10.0.0.1", "203.0.113.7"),
        ("203.0.113.7:80," + "10.0.0.1," * 100, "203.0.113.7"),
        (" " * 200 + "203.0.113.7" + " " * 200, "203.0.113.7"),
        ("[203.0.113.7]", ""),
        ("203.0.113.7:http", ""),
        ("203.0.113.7:123456", ""),
        ("2001:db8::1]:80", ""),
        ("unknown, 203.0.113.7", ""),
        (", 203.0.113.7", ""),
        ("127.1", ""),
        ("0x7f000001", ""),
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


@given(st.ip_addresses(), st.integers(0, 65535), st.sampled_from(["", " ", "\t"]))
def test_ports_brackets_blanks_and_what_stands_behind_a_comma_change_nothing(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, blank: str
) -> None:
    plain = canonical_address(str(address))
    written = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    assert canonical_address(f"{blank}{written}{blank}") == plain
    assert canonical_address(f'"{written}"{blank},{blank}10.0.0.1') == plain


def test_texts_of_clients_are_bounded_before_they_are_kept() -> None:
    before = ip_address._read.cache_info().currsize
    for number in range(100):
        assert canonical_address(f"{number}" + "x" * 30_000) == ""
    assert ip_address._read.cache_info().currsize == before
