"""Records that an operator names by their places."""

import pytest

from schemas.settings import SettingsError, load
from streams.runtime.operator import Records
from streams.runtime.set_aside import SetAside

RECORDS = Records([0, 0, 1, 1], [5, 6, 5, 6], [b"k"] * 4, [b"v"] * 4)


@pytest.mark.parametrize(
    ("places", "found"),
    [
        ("", []),
        ("raw_events/0/5", [0]),
        ("raw_events/1/5-6", [2, 3]),
        ("raw_events/0/6, raw_events/1/5 ", [1, 2]),
        ("identity_claims/0/5,raw_events/2/5", []),
    ],
)
def test_places_are_found_among_records(places: str, found: list[int]) -> None:
    setting = load({"TALLY_STREAMS_SET_ASIDE": places}).streams_set_aside
    assert [one.index for one in SetAside(setting).among("raw_events", RECORDS)] == found


@pytest.mark.parametrize("places", ["raw_events/0", "sessions/0/5", "raw_events/0/5-", "raw_events/0/5 raw_events/0/6"])
def test_what_names_no_place_is_refused(places: str) -> None:
    with pytest.raises(SettingsError, match="SET_ASIDE"):
        load({"TALLY_STREAMS_SET_ASIDE": places})
