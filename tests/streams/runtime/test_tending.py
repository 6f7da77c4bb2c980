"""A worker looks at the ends of its changelogs, also of those to which it writes nothing."""

import asyncio
from typing import Any

import pytest
from faust.types import TP

from streams.runtime.app import App
from streams.runtime.heap import give_back
from streams.runtime.store import ForeignRecordsError
from streams.sessions.state import new_state
from tests.streams.runtime.faust_app import faust_app
from tests.streams.world import Chunk, Record


class Ends:
    """The consumer, as far as it tells where logs end."""

    def __init__(self) -> None:
        self.end = 2

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, self.end)


@pytest.fixture
async def app(monkeypatch: pytest.MonkeyPatch) -> App:
    """A worker that has restored two states of a partition, of which the older stands last."""
    app = faust_app()
    app.consumer = Ends()
    for name, value in {"started": True, "in_recovery": False}.items():
        monkeypatch.setattr(type(app), name, value, raising=False)
    app.rebalancing_count, app.rebalancing = 1, False
    return app


def restore(app: App, *applied: int) -> None:
    table = app.state_tables["sessions"]
    records = []
    for offset, one in enumerate(applied):
        state = new_state()
        state.applied = one
        records.append(Record(offset, b"a", app.state_caches["sessions"]._codec.encode(state)))
    table.store.apply_changelog_batch([Chunk(table.changelog_topic_name, 0, records)], bytes, bytes)


async def is_owed(app: App) -> Any:
    return app._is_owed(await app._changelog_ends())


async def test_a_changelog_that_ends_where_it_was_left_owes_nothing(app: App) -> None:
    restore(app, 3, 5)
    assert not await is_owed(app)


async def test_a_state_over_which_an_older_one_was_written_is_owed(app: App) -> None:
    restore(app, 5, 3)
    assert await is_owed(app)


async def test_a_changelog_that_somebody_else_went_on_with_is_noticed(app: App) -> None:
    restore(app, 3, 5)
    app.consumer.end = 3
    with pytest.raises(ForeignRecordsError):
        await is_owed(app)


@pytest.mark.parametrize("end", [0, 4])
async def test_a_changelog_without_records_is_known_to_its_end(app: App, end: int) -> None:
    tp = TP(app.state_tables["sessions"].changelog_topic_name, 1)
    recovery = app.tables.recovery
    recovery.active_offsets[tp] = recovery.active_highwaters[tp] = end - 1
    app.restore_from({tp: max(0, end - 1)})  # as Faust seeks
    app.consumer.end = end
    assert not await is_owed(app)
    app.consumer.end = end + 1
    with pytest.raises(ForeignRecordsError):
        await is_owed(app)


async def test_a_changelog_with_one_record_is_not_known_before_it_is_restored(app: App) -> None:
    tp = TP(app.state_tables["sessions"].changelog_topic_name, 0)
    recovery = app.tables.recovery
    recovery.active_offsets[tp], recovery.active_highwaters[tp] = -1, 0
    app.restore_from({tp: 0})
    assert app.state_tables["sessions"].store.known() == []
    restore(app, 3)
    app.consumer.end = 1
    assert not await is_owed(app)


async def test_nothing_is_owed_while_the_group_changes(app: App) -> None:
    restore(app, 5, 3)
    ends = await app._changelog_ends()
    app.rebalancing = True
    assert not app._is_owed(ends)
    assert await app._changelog_ends() == {}


async def test_freed_memory_is_given_back_in_every_round(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[str] = []
    monkeypatch.setattr("streams.runtime.app._TEND_S", 0)
    monkeypatch.setattr("streams.runtime.app.give_back", lambda: rounds.append("given back"))

    async def look(_is_owed: object) -> None:
        rounds.append("looked at")
        if len(rounds) == 4:
            raise asyncio.CancelledError

    monkeypatch.setattr(app, "epochs", type("", (), {"tend": staticmethod(look)}), raising=False)
    with pytest.raises(asyncio.CancelledError):
        await app.tend()
    assert rounds == ["given back", "looked at"] * 2


def test_memory_may_be_given_back_at_any_time() -> None:
    give_back()
    give_back()
