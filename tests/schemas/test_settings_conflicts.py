"""Values that are sound each by itself and cannot work together are refused at the start, by name."""

import pytest

from schemas.settings import SettingsError, load


@pytest.mark.parametrize(
    "given",
    [
        {"STREAMS_CLOCK_AHEAD_S_MAX": "3600"},
        {"COLLECTOR_TIMESTAMP_FUTURE_S_MAX": "7200"},
        {"STREAMS_SEEN_IDS_MAX": "200000"},
        {"STREAMS_SESSION_GAP_S": "10"},
        {"STREAMS_SESSION_GAP_S": "7200", "STREAMS_SESSION_S_MAX": "3600"},
    ],
)
def test_values_that_cannot_work_together_are_refused_by_name(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as refused:
        load({f"TALLY_{name}": value for name, value in given.items()})
    (problem,) = refused.value.problems
    assert any(f"TALLY_{name}" in problem for name in given)


@pytest.mark.parametrize("name", ["TABLE_EVENTS_DAYS", "TABLE_ROLLUPS_DAYS", "TABLE_DEAD_LETTERS_DAYS"])
def test_rows_are_kept_for_no_longer_than_an_expiry_can_say(name: str) -> None:
    assert load({f"TALLY_{name}": "18250"})
    with pytest.raises(SettingsError, match=f"TALLY_{name}: .*at most 18,250 days.*REMOVE TTL"):
        load({f"TALLY_{name}": "18251"})
