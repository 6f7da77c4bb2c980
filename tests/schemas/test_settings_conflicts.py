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
