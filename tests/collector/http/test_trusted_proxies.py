"""What proxies say of the visitor, and who is believed."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from collector.http.trusted_proxies import TrustedProxies
from schemas.settings import Settings

HEADERS = Settings.model_validate({}).collector_address_headers
PROXY, VISITOR = "10.0.0.1", "193.0.6.139"


def said(*lines: tuple[str, str]) -> CIMultiDictProxy[str]:
    """The headers of a request."""
    return CIMultiDictProxy(CIMultiDict(lines))


def address(*lines: tuple[str, str], peer: str = PROXY, trusted: str = "10.0.0.0/8, 2001:db8::/32") -> str:
    """The visitor's address of a request with these headers."""
    return TrustedProxies(trusted, HEADERS).client_address(peer, said(*lines))


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP"])
def test_strangers_are_not_believed(name: str) -> None:
    line = (name, f"for={VISITOR}" if name == "Forwarded" else VISITOR)
    assert address(line, peer="203.0.113.7") == "203.0.113.7"
    assert address(line, peer="203.0.113.7", trusted="") == "203.0.113.7"
    assert address(line) == VISITOR


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("X-Forwarded-For", f"{VISITOR}:41532", VISITOR),
        ("X-Forwarded-For", "[2001:67c:2e8:22::c100:68b]:41532", "2001:67c:2e8:22::c100:68b"),
        ("X-Forwarded-For", f"192.0.2.66, {VISITOR} , 10.1.1.1:80", VISITOR),
        ("X-Forwarded-For", f"{VISITOR},", VISITOR),
        ("X-Forwarded-For", f" ,{VISITOR}, ,", VISITOR),
        ("Forwarded", f"for={VISITOR};proto=https;by=10.0.0.1", VISITOR),
        ("Forwarded", f'For="{VISITOR}:47011"', VISITOR),
        ("Forwarded", 'for="[2001:67c::1]:4711"', "2001:67c::1"),
        ("Forwarded", f"for=192.0.2.66, proto=https; for={VISITOR}, for=10.1.1.1", VISITOR),
        ("X-Real-IP", f"{VISITOR}:1", VISITOR),
        ("CF-Connecting-IP", " 2001:67c::1 ", "2001:67c::1"),
    ],
)
def test_the_forms_in_which_proxies_write_addresses(name: str, value: str, expected: str) -> None:
    assert address((name, value)) == expected


def test_the_nearest_untrusted_hop_is_the_client() -> None:
    assert address(("X-Forwarded-For", "192.0.2.66, 198.51.100.1, 10.1.1.1")) == "198.51.100.1"
    assert address(("X-Forwarded-For", "198.51.100.1"), peer="2001:db8::1") == "198.51.100.1"
    assert address(("X-Forwarded-For", "10.3.3.3, 10.1.1.1")) == "10.3.3.3"


def test_several_headers_are_one_list() -> None:
    first = ("X-Forwarded-For", "192.0.2.66")
    assert address(first, ("X-Forwarded-For", "198.51.100.1, 10.1.1.1")) == "198.51.100.1"
    assert address(("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "10.1.1.1")) == "198.51.100.1"


@pytest.mark.parametrize(
    "line",
    [
        ("X-Forwarded-For", "unknown"),
        ("X-Forwarded-For", "198.51.100.1, unknown"),
        ("X-Forwarded-For", "198.51.100.1, unknown, 10.0.0.2"),
        ("X-Forwarded-For", ""),
        ("X-Forwarded-For", PROXY),
        ("Forwarded", "for=_hidden, for=unknown"),
        ("Forwarded", "proto=https"),
        ("X-Real-IP", "localhost"),
        ("Via", "1.1 proxy"),
    ],
)
def test_a_proxy_that_does_not_say_for_whom_leaves_no_address_never_its_own(line: tuple[str, str]) -> None:
    assert address(line) == ""


def test_an_unreadable_header_leaves_the_word_to_the_next() -> None:
    lines = (("X-Forwarded-For", "unknown"), ("X-Real-IP", VISITOR))
    assert address(*lines) == VISITOR
    assert address(*reversed(lines)) == VISITOR


def test_which_header_counts_is_a_setting() -> None:
    lines = said(("X-Forwarded-For", "198.51.100.1"), ("CF-Connecting-IP", VISITOR), ("True-Client-IP", "192.0.2.1"))
    for headers, expected in (
        (HEADERS, "198.51.100.1"),
        ("cf-connecting-ip", VISITOR),
        ("True-Client-IP", "192.0.2.1"),
    ):
        assert TrustedProxies("10.0.0.0/8", headers).client_address(PROXY, lines) == expected
    assert TrustedProxies("10.0.0.0/8", "x-real-ip").client_address(PROXY, lines) == ""


def test_a_chain_without_end_is_followed_for_a_bounded_number_of_hops() -> None:
    assert address(("X-Forwarded-For", VISITOR + ", 10.1.1.1" * 31)) == VISITOR
    assert address(("X-Forwarded-For", VISITOR + ", 10.1.1.1" * 5_000)) == "10.1.1.1"


def test_a_bad_network_is_named() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/33"):
        TrustedProxies("10.0.0.0/33", HEADERS)


@pytest.mark.parametrize(
    ("line", "scheme", "host"),
    [
        (("X-Forwarded-Proto", "https"), "https", ""),
        (("X-Forwarded-Proto", "HTTPS, http"), "https", ""),
        (("X-Forwarded-Proto", "javascript"), "", ""),
        (("X-Forwarded-Host", "t.shop.example:8443"), "", "t.shop.example:8443"),
        (("X-Forwarded-Host", "t.shop.example, inner"), "", "t.shop.example"),
        (("X-Forwarded-Host", "[2001:db8::1]:80"), "", "[2001:db8::1]:80"),
        (("X-Forwarded-Host", 'evil"/x'), "", ""),
        (("X-Forwarded-Host", "x" * 5_000), "", ""),
        (("Forwarded", 'for=1.2.3.4;host="t.shop.example:80";proto=https, for=10.0.0.1'), "https", "t.shop.example:80"),
    ],
)
def test_scheme_and_host_by_which_the_visitor_asked(line: tuple[str, str], scheme: str, host: str) -> None:
    proxies = TrustedProxies("10.0.0.0/8", HEADERS)
    assert (proxies.scheme(PROXY, said(line)), proxies.host(PROXY, said(line))) == (scheme, host)
    assert (proxies.scheme("203.0.113.7", said(line)), proxies.host("203.0.113.7", said(line))) == ("", "")
