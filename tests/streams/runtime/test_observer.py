"""What the gauges say of a worker: lag is never 0 for want of a commit, and what was lost is counted."""

from collections import defaultdict

import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from schemas.metrics import StreamsMetrics
from streams.runtime.admin import Observer, keys_page
from streams.runtime.app import App
from tests.streams.runtime.faust_app import faust_app

RAW = TP("t_raw_events", 0)


class Consumer:
    """Owns one partition of raw events."""

    def __init__(self) -> None:
        self.end: int | None = 5_000_000
        self.committed = 0
        self.expired: dict[str, int] = defaultdict(int)

    def assignment(self) -> set[TP]:
        return {RAW}

    def highwater(self, _tp: TP) -> int | None:
        return self.end

    def is_at_end(self, _tp: TP) -> bool:
        return False

    def committed_offset(self, _tp: TP) -> int:
        return self.committed


class Watched:
    """A worker, and its metrics as they are asked for."""

    def __init__(self) -> None:
        self.app: App = faust_app()
        self.consumer = Consumer()
        self.app.consumer = self.consumer
        self.now = 1_000.0
        self._registry = CollectorRegistry()
        self._observer = Observer(self.app, StreamsMetrics(self._registry), [], lambda: self.now)

    def value(self, name: str, **labels: str) -> float | None:
        self._observer.observe()
        return self._registry.get_sample_value(f"tally_streams_{name}", labels)


@pytest.fixture
async def watched() -> Watched:
    found = Watched()
    found.app._started.set()
    return found


async def test_a_worker_that_waits_for_its_projects_tells_what_there_is() -> None:
    assert Watched().value("lag_seconds") == 0


async def test_lag_grows_before_the_first_commit(watched: Watched) -> None:
    assert watched.value("lag_records", topic="raw_events", partition="0") == 5_000_000
    watched.now += 90
    assert watched.value("lag_seconds") == 90
    watched.app.epochs.reached_at["raw_events", 0] = 400.0  # the first records read are so old
    assert watched.value("lag_seconds") == 690
    watched.consumer.committed = 5_000_000
    assert watched.value("lag_seconds") == 0


async def test_lag_whose_end_is_not_known_is_not_told_as_none(watched: Watched) -> None:
    watched.consumer.end = None
    assert watched.value("lag_records", topic="raw_events", partition="0") is None


async def test_what_retention_took_is_counted_once(watched: Watched) -> None:
    assert watched.value("expired_records_total", topic="raw_events") == 0
    watched.consumer.expired[RAW.topic] = 66
    assert watched.value("expired_records_total", topic="raw_events") == 66
    assert watched.value("expired_records_total", topic="raw_events") == 66


async def test_the_largest_state_written_is_told(watched: Watched) -> None:
    cache = watched.app.state_caches["sessions"]
    cache.state_of(0, b"key")
    cache.end_epoch()
    assert cache.largest_bytes > 0
    assert watched.value("largest_state_bytes", table="sessions") == cache.largest_bytes


async def test_hot_keys_are_told_by_rank_and_named_on_their_page_alone(watched: Watched) -> None:
    hot = [(b"t/p/v/a\nb", 0.5), ("t/p/v/\N{WOMAN}".encode(), 0.25)]
    watched.app.hot_keys = lambda count: hot[:count]
    assert watched.value("hot_key_share", rank="1") == 0.5
    assert watched.value("hot_key_share", rank="2") == 0.25
    page = keys_page(watched.app)
    assert " 50.00%  t/p/v/a\\nb\n 25.00%  t/p/v/\N{WOMAN}\n" in page
    del hot[1]
    assert watched.value("hot_key_share", rank="2") is None


async def test_the_largest_state_is_named(watched: Watched) -> None:
    states = watched.app.state_caches["sessions"]
    for key, applied in ((b"t/p/v/small", 1), (b"t/p/v/large", 2)):
        states.state_of(0, key).seen = bytes(12 * applied)
        states.end_epoch()
        states.confirm({})
    states.state_of(0, b"t/p/v/small")
    states.end_epoch()
    assert "  sessions  t/p/v/large\n" in keys_page(watched.app)


@pytest.mark.parametrize(
    ("topic", "remark"),
    [
        ("raw_events", "late"),
        ("raw_events", "tombstone"),
        ("raw_events", "state_clipped"),
        ("raw_events", "row_clipped"),
        ("identity_claims", "id_shared"),
        ("identity_claims", "traits_cut"),
    ],
)
async def test_a_remark_has_its_series_before_the_first_one(watched: Watched, topic: str, remark: str) -> None:
    # A series that begins with its first value hides that value from increase().
    assert watched.value("remarks_total", topic=topic, remark=remark) == 0
