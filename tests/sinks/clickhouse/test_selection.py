"""Which dead letters are meant, as ClickHouse is asked for them."""

from sinks.clickhouse.dead_letters import condition
from sinks.replay.query import Selection


def test_a_selection_joins_what_is_given() -> None:
    assert condition(Selection(replayed=True)) == ("1", {})
    assert "dead_letter_replays" in condition(Selection())[0]
    where, values = condition(Selection(reason="row_refused", since_ms=5, replayed=True))
    assert values == {"reason": "row_refused", "since_ms": 5}
    assert where.count(" AND ") == 2
