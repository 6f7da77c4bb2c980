"""Which events convert: those of their own project, at a cost that does not grow with the projects there are."""

from collections.abc import Iterator, Mapping
from typing import Final

import hypothesis.strategies as st
import polars as pl
from hypothesis import given

from streams.sessions.conversions import convert

PROJECTS: Final = ("p1", "p2", "p3")
EVENTS: Final = ("", "Bought", "Signed", "Viewed")
rows = st.lists(st.tuples(st.sampled_from(PROJECTS), st.sampled_from(EVENTS)), max_size=20)
some_conversions = st.dictionaries(st.sampled_from(PROJECTS), st.frozensets(st.sampled_from(EVENTS)))


def frame_of(pairs: list[tuple[str, str]]) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema={"project_id": pl.String, "event_name": pl.String}, orient="row")


@given(rows, some_conversions)
def test_an_event_converts_when_its_own_project_says_so(
    pairs: list[tuple[str, str]], conversions: Mapping[str, frozenset[str]]
) -> None:
    found = convert(frame_of(pairs), conversions)
    assert found.dtype == pl.Boolean
    assert found.to_list() == [name in conversions.get(project_id, ()) for project_id, name in pairs]


class Counting(Mapping[str, frozenset[str]]):
    """Very many projects, each with the same conversion events; counts how many of them are asked for."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.asked: set[str] = set()

    def __getitem__(self, project_id: str) -> frozenset[str]:
        self.asked.add(project_id)
        return frozenset({"Bought"})

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("all projects are gone through")

    def __len__(self) -> int:
        return self._size


def test_projects_that_are_not_in_the_chunk_cost_nothing() -> None:
    conversions = Counting(1_000_000)
    assert convert(frame_of([("p1", "Bought"), ("p2", "Viewed")]), conversions).to_list() == [True, False]
    assert conversions.asked == {"p1", "p2"}
