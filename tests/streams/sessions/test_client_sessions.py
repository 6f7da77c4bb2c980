"""Sessions that have the client's own id: whose they are, and when they end all the same."""

from dataclasses import replace

import hypothesis.strategies as st
from hypothesis import given

from schemas import keys
from tests.streams.oracle import all_sessions
from tests.streams.sessions.test_sessionize_law import Fold, epochs_of, run, visitors_row
from tests.streams.universe import (
    CONVERSIONS,
    GAP_MS,
    PROJECTS,
    RULES,
    TENANT,
    Row,
    enriched_rows,
    made_uuid,
    placed,
)

SESSION = made_uuid("session")


def row_of(number: int, cell: int = 0, visitor: str = "ann", project_id: str = PROJECTS[0]) -> Row:
    key = keys.of_raw_event(keys.scope(TENANT, project_id), visitor, SESSION)
    of = {"key": key, "client_session_id": SESSION, "project_id": project_id, "anonymous_id": visitor}
    return visitors_row(number, cell) | of


def sessions_of(*rows: Row, fold: Fold | None = None) -> list[Row]:
    fold = fold or Fold()
    epochs_of(fold, *([row] for row in placed(rows)))
    assert fold.dangling() == []
    return sorted(fold.live().values(), key=lambda row: (row["project_id"], row["anonymous_id"], row["started_at"]))


def test_one_id_in_two_projects_is_two_sessions() -> None:
    rows = [row_of(number, project_id=PROJECTS[number // 5]) for number in range(7)]
    found = sessions_of(*rows)
    assert [(row["project_id"], row["event_count"]) for row in found] == [(PROJECTS[0], 5), (PROJECTS[1], 2)]


def test_one_id_of_two_visitors_is_two_sessions() -> None:
    found = sessions_of(*(row_of(number, visitor=("ann", "bob")[number % 2]) for number in range(5)))
    assert [(row["anonymous_id"], row["event_count"]) for row in found] == [("ann", 3), ("bob", 2)]


def test_the_clients_id_stands_beside_ours_and_is_never_it() -> None:
    (found,) = sessions_of(row_of(0))
    assert found["client_session_id"] == SESSION != found["session_id"]
    (other,) = sessions_of(visitors_row(0, 0))
    assert other["client_session_id"] is None


def test_the_gap_and_the_maximum_end_a_clients_session_too() -> None:
    found = sessions_of(*(row_of(number, cell) for number, cell in enumerate((0, 1, 2, 3, 4, 7))))
    assert [(row["event_count"], row["client_session_id"]) for row in found] == [
        (4, SESSION),
        (1, SESSION),
        (1, SESSION),
    ]


def test_the_setting_keeps_it_whole() -> None:
    fold = Fold(replace(RULES, client_whole=True))
    (found,) = sessions_of(*(row_of(number, cell) for number, cell in enumerate((40, 0, 1, 2, 3, 4, 7))), fold=fold)
    assert (found["event_count"], found["duration_seconds"]) == (7, 40 * GAP_MS // 1000)


@given(st.lists(enriched_rows(), min_size=1, max_size=20).map(placed), st.data())
def test_whole_sessions_are_those_of_the_oracle(rows: list[Row], data: st.DataObject) -> None:
    rows = placed(row for row in rows if row["client_session_id"] is not None)
    rules = replace(RULES, client_whole=True)
    fold = run(data, rows, Fold(rules))
    assert fold.live() == all_sessions(fold.kept, rules, CONVERSIONS)
