"""Lookups as the settings ask for them."""

from pathlib import Path

import pytest

from schemas.settings import SettingsError, load
from streams.events.lookups import open_lookups
from tests.streams.events.conftest import WriteDatabase


def test_lookups_open_without_any_file() -> None:
    lookups = open_lookups(load({}))
    assert [lookup.name for lookup in lookups.all()] == ["user_agents", "robots", "addresses", "urls"]
    assert lookups.addresses(["8.8.8.8"]) == [("", "")]
    assert lookups.robots(["curl/8.5.0"]) == ["http_library"]


def test_lookups_read_the_files_the_settings_name(write_database: WriteDatabase, tmp_path: Path) -> None:
    robots = tmp_path / "robots.json"
    robots.write_text('[{"pattern": "^mine"}]')
    settings = load(
        {
            "TALLY_STREAMS_GEO_COUNTRY_PATH": write_database({"8.8.8.0/24": {"country_code": "US"}}),
            "TALLY_STREAMS_GEO_CITY_PATH": write_database({"8.8.8.0/24": {"city": "Mountain View"}}),
            "TALLY_STREAMS_BOT_SIGNATURES_PATH": str(robots),
        }
    )
    lookups = open_lookups(settings)
    assert lookups.addresses(["8.8.8.8"]) == [("US", "Mountain View")]
    assert lookups.robots(["mine/1", "curl/8.5.0"]) == ["user_agent", ""]


def test_caches_are_as_large_as_the_settings_say() -> None:
    lookups = open_lookups(load({"TALLY_STREAMS_ADDRESS_CACHE_MAX": "10", "TALLY_STREAMS_USER_AGENT_CACHE_MAX": "4"}))
    lookups.addresses([f"8.8.8.{number}" for number in range(100)])
    lookups.user_agents([f"curl/8.{number}" for number in range(100)])
    assert (lookups.addresses.entries, lookups.user_agents.entries) == (10, 4)


def test_every_file_that_cannot_be_used_is_named_at_once(tmp_path: Path) -> None:
    no_database = tmp_path / "country.mmdb"
    no_database.write_bytes(b"not a database")
    settings = load(
        {
            "TALLY_STREAMS_GEO_COUNTRY_PATH": str(no_database),
            "TALLY_STREAMS_GEO_CITY_PATH": str(tmp_path / "absent.mmdb"),
            "TALLY_STREAMS_GEO_CITY_V6_PATH": str(tmp_path),
            "TALLY_STREAMS_BOT_SIGNATURES_PATH": str(tmp_path / "absent.json"),
        }
    )
    with pytest.raises(SettingsError) as raised:
        open_lookups(settings)
    assert [problem.split(":")[0] for problem in raised.value.problems] == [
        "TALLY_STREAMS_GEO_COUNTRY_PATH",
        "TALLY_STREAMS_GEO_CITY_PATH",
        "TALLY_STREAMS_GEO_CITY_V6_PATH",
        "TALLY_STREAMS_BOT_SIGNATURES_PATH",
    ]
