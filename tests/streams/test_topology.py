"""What a worker is made of, from its settings."""

from typing import Final

from streams.sessions.state import encode_state, new_state
from tests.streams.runtime.fake_app import FakePositions
from tests.streams.runtime.faust_app import faust_app

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
NOW_MS: Final = 1_795_000_000_000


async def test_a_visitor_is_remembered_for_eight_days_of_silence_and_then_forgotten() -> None:
    app = faust_app(NOW_MS)
    app.consumer = FakePositions()  # Faust's own is made with a thread and its event loop, which nothing would close
    store, evictor = app.state_tables["sessions"].store, app.evictors["sessions"]
    silent_ms = {b"a week": 7 * DAY_MS, b"nearly eight days": 8 * DAY_MS - HOUR_MS, b"more": 8 * DAY_MS + HOUR_MS}
    for key, silent in {b"here": 0, **silent_ms}.items():
        state = new_state()
        state.active_ms = NOW_MS - silent
        store.write(0, [(key, encode_state(state))])
    gone = [evictor.expired(store, {}) for _ in range(2)]  # the newest may be seen last
    assert {key for found in gone for keys in found.values() for key in keys} == {b"more"}
