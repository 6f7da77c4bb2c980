"""IP address text → country and city, from databases in MaxMind's file format.

Two shapes of records are read: MaxMind's nested one (`country.iso_code`, `city.names.en`) and the flat one of
@ip-location-db (`country_code`, `city`).
"""

import ipaddress
import os
import sys
from typing import Any, NamedTuple

import maxminddb

from schemas.settings import PREFIX, SettingsError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


# The first bytes of IPv4 addresses that private, local and reserved networks begin with.
_V4_FIRST_BYTES = frozenset((0, 10, 100, 127, 169, 172, 192, 198, 203, *range(224, 256)))


class Place(NamedTuple):
    """ISO 3166-1 alpha-2 code in capitals and the city's English name; '' where nothing is known."""

    country_code: str
    city: str


NOWHERE = Place("", "")


class Database:
    """One file. `find` answers None for what it does not hold, IPv6 in a file of IPv4 included."""

    def __init__(self, path: str) -> None:
        """Raises OSError or maxminddb.InvalidDatabaseError."""
        self._reader = maxminddb.open_database(path)
        self._v6 = self._reader.metadata().ip_version == 6

    def find(self, address: IPAddress) -> dict[str, Any] | None:
        if address.version == 6 and not self._v6:
            return None
        record = self._reader.get(address)
        return record if isinstance(record, dict) else None

    def close(self) -> None:
        self._reader.close()


class Places:
    """Looks an address up in the databases that are there; 5 µs an address, 10 with cities: put it behind a cache."""

    def __init__(self, country: Database | None, cities: tuple[Database, ...]) -> None:
        self._country = country
        self._cities = cities

    def __call__(self, text: str) -> Place:
        """NOWHERE for what is no address, and for private, local and reserved ones. Never raises."""
        address = routable(text)
        if address is None:
            return NOWHERE
        record = self._country.find(address) if self._country else None
        country_code, city = _country_of(record or {}), ""
        for database in self._cities:
            if (found := database.find(address)) is not None:
                country_code, city = country_code or _country_of(found), _city_of(found)
                break
        # Interned: thousands of cached places share a few strings, which stay in the processor's cache.
        return Place(sys.intern(country_code), sys.intern(city))

    def close(self) -> None:
        for database in (self._country, *self._cities):
            if database is not None:
                database.close()


def open_places(country_path: str | None, city_path: str | None, city_v6_path: str | None) -> Places:
    """Open the databases whose paths are given. Raises SettingsError naming each that is missing or no database."""
    problems, opened = [], {}
    named = {
        "streams_geo_country_path": country_path,
        "streams_geo_city_path": city_path,
        "streams_geo_city_v6_path": city_v6_path,
    }
    for name, path in named.items():
        if not path:
            continue
        try:
            opened[name] = Database(os.fspath(path))
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            problems.append(f"{PREFIX}{name.upper()}: {error}")
    if problems:
        for database in opened.values():
            database.close()
        raise SettingsError(problems)
    country = opened.pop("streams_geo_country_path", None)
    return Places(country, tuple(opened.values()))


def routable(text: str) -> IPAddress | None:
    """The public address the text spells, IPv4 out of an IPv4-mapped IPv6 one; None for anything else."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address if _is_global(address) else None


def _is_global(address: IPAddress) -> bool:
    """`address.is_global`, without its 5 µs where the first bits decide: in nearly all addresses of visitors."""
    if address.version == 4:
        return int(address) >> 24 not in _V4_FIRST_BYTES or address.is_global
    first = int(address) >> 112
    return (0x2003 <= first < 0x3FFF) or address.is_global


def _country_of(record: dict[str, Any]) -> str:
    code = record.get("country_code")
    if code is None:
        country = record.get("country")
        code = country.get("iso_code") if isinstance(country, dict) else None
    if not isinstance(code, str) or len(code) != 2 or not (code.isascii() and code.isalpha()):
        return ""
    # ZZ is how some databases spell unknown.
    return "" if code.upper() == "ZZ" else code.upper()


def _city_of(record: dict[str, Any]) -> str:
    city = record.get("city")
    if isinstance(city, dict):
        names = city.get("names")
        city = names.get("en") if isinstance(names, dict) else None
    return city if isinstance(city, str) else ""
