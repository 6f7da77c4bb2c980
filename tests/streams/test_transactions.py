"""raw_events written by somebody else's transactions, on a real Kafka: Connect with exactly-once, or a mirror."""

from confluent_kafka import Producer

from schemas.kafka import producer_config
from tests.streams.accounting import assert_accounted, traffic
from tests.streams.rig import PARTITIONS, StreamsRig, WorkerProcess

TRANSACTIONS = 30
EVENTS = 20  # in each


def test_markers_and_aborted_records_cost_a_seek_of_one_partition_each_at_most(rig: StreamsRig) -> None:
    rig.produce(traffic(500))
    worker = rig.worker().start()
    rig.catch_up()
    at_start = worker.said("reading all partitions again")
    producer = Producer(producer_config(rig.settings, transactional_id=f"{rig.settings.topic_prefix}mirror"))
    producer.init_transactions()
    pairs = traffic(TRANSACTIONS * EVENTS, hours=2)
    for number in range(TRANSACTIONS):
        some = pairs[number * EVENTS : (number + 1) * EVENTS]
        producer.begin_transaction()
        for key, value in some:
            producer.produce(rig.settings.topic("raw_events"), value, key)
        if number % 3 == 1:
            producer.flush()
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    # The log ends with a marker: nothing waits all the same.
    rig.wait_until(lambda: len(rig.past_the_watermark()) == len(rig.expected()[0]), "all that was committed is read")
    rig.wait_until(lambda: _lag(worker) == 0, "nothing waits")
    rig.produce(traffic(200, hours=3))
    rig.wait_until(lambda: len(rig.past_the_watermark()) == len(rig.expected()[0]), "what comes after is read")
    rig.wait_until(lambda: _lag(worker) == 0, "nothing waits")
    assert_accounted(rig)
    assert worker.said("reading all partitions again") == at_start
    assert 0 < worker.said("reading a partition again") <= TRANSACTIONS * PARTITIONS
    assert worker.terminate() == 0


def _lag(worker: WorkerProcess) -> float:
    partitions = range(PARTITIONS)
    return sum(worker.metric(f'tally_streams_lag_records{{partition="{n}",topic="raw_events"}}') for n in partitions)
