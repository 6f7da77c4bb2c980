"""What two systems are fed is the same, byte for byte, at once or at a rate; a difference is no figure."""

from collections.abc import Iterator

import pytest

from docker.local.kafka import KafkaServer
from schemas.settings import Settings
from tests.bench import versus_stock
from tests.bench.broker import Broker
from tests.bench.lines import WrongOutputError
from tests.bench.loads import Load, make_load
from tests.bench.rounds import Reading, Readings
from tests.bench.sizes import FULL, QUICK
from tests.bench.traffic import Traffic
from tests.bench.versus_stock import require_same


@pytest.fixture
def load() -> Load:
    return make_load(Traffic(visitors=50, duplicate_share=0.1).records(400))


@pytest.fixture
def broker(kafka_server: KafkaServer) -> Broker:
    return Broker(Settings.model_validate({"kafka_bootstrap": kafka_server.bootstrap}))


@pytest.fixture
def topics(broker: Broker, unique_name: str) -> Iterator[tuple[str, str]]:
    names = (f"{unique_name}_one", f"{unique_name}_other")
    for name in names:
        broker.create(name, 3)
    yield names
    broker.delete(names)


def test_records_fed_at_once_and_at_a_rate_are_the_same_topic(
    broker: Broker, topics: tuple[str, str], load: Load
) -> None:
    one, other = topics
    broker.produce(one, load.records)
    broker.pace(other, load.records, per_s=20_000)
    assert [broker.count(topic) for topic in topics] == [len(load), len(load)]
    require_same(broker.digest(one), broker.digest(other))


@pytest.mark.parametrize(
    "difference", ["a byte of a value", "a key's end moved into the value", "the order", "one less"]
)
def test_one_difference_is_no_figure(broker: Broker, topics: tuple[str, str], load: Load, difference: str) -> None:
    one, other = topics
    records = {0: load.records[:5]}
    changed = [dict(record) for record in records[0]]
    if difference == "a byte of a value":
        changed[2]["value"] = changed[2]["value"][:-1] + bytes([changed[2]["value"][-1] ^ 1])
    elif difference == "a key's end moved into the value":
        changed[2] = {"key": changed[2]["key"][:-1], "value": changed[2]["key"][-1:] + changed[2]["value"]}
    elif difference == "the order":
        changed.reverse()
    else:
        del changed[-1]
    broker.produce_to(one, records)
    broker.produce_to(other, {0: changed})
    with pytest.raises(WrongOutputError, match="same records"):
        require_same(broker.digest(one), broker.digest(other))


def test_warm_up_is_as_large_as_the_backlog_and_lasts_a_part_of_the_steady_stream() -> None:
    for sizes in (FULL, QUICK):
        assert sizes.shared_events > 0
        assert 0 < sizes.paced_warm_up_s < sizes.paced_s


def test_note_tells_the_session_rows_of_both_and_how_far_the_stock_agent_fell_behind(load: Load) -> None:
    figures = {
        "cpu_us": 25.0, "per_s": 40_000.0, "session_rows": 0.61, "states": 0.6, "paced_cpu_us": 200.0,
        "paced_session_rows": 0.95, "paced_cores": 0.4, "paced_late_s": 0.3,
    }  # fmt: skip
    slower = figures | {"cpu_us": 500.0, "session_rows": 0.62, "paced_cpu_us": 500.0, "paced_late_s": 7.0}
    worker, stock = (Readings((Reading(each, 0.0),)) for each in (figures, slower))
    lines = {
        line.name: line
        for line in versus_stock.summarise(
            {"shared_worker": worker, "stock": stock}, backlog=20_000, events_per_s=2_000
        )
    }
    backlog, steady = lines["streams_vs_stock_faust"], lines["streams_steady_vs_stock_faust"]
    assert (backlog.ratio, steady.ratio) == (20, 2.5)
    assert "worker 0.61, stock 0.62" in backlog.note
    assert "7.0 s late" in steady.note
    assert lines["streams_steady_cpu_us_per_event"].ratio == 8
