"""Records on raw_events that no collector writes, amid others, through a worker on a real Kafka."""

import random
from typing import Final

from schemas.codec import Codec
from schemas.dead_letters import BYTES_MAX
from schemas.settings import MESSAGE_BYTES_MAX
from tests.streams.accounting import SEED, assert_accounted, later, traffic
from tests.streams.raw import IDS, RAW, bad_records, key_of, raw_event
from tests.streams.rig import PARTITIONS, StreamsRig

T0: Final = 1_795_000_000_000


def test_bad_records_are_dead_letters_alone_and_all_others_are_enriched_once(rig: StreamsRig) -> None:
    good = traffic(4_000)
    bad = bad_records(raw_event(7), b"x" * (MESSAGE_BYTES_MAX - 250))
    chance = random.Random(SEED)
    for start in range(0, len(good), 1_000):
        rig.produce(good[start : start + 1_000])
        for key, value, _ in bad[start // 1_000 :: 4]:
            rig.produce([(key, value)], partition=chance.randrange(PARTITIONS))
    # A key's partition is where its events are, whatever a partitioner would say.
    elsewhere = [raw_event(number, anonymous_id="elsewhere", received_at=T0, timestamp=T0) for number in range(40)]
    for partition in range(PARTITIONS):
        mine = [event | {"anonymous_id": f"elsewhere {partition}"} for event in elsewhere[partition::PARTITIONS]]
        rig.produce([(key_of(event), RAW.encode(event)) for event in mine], partition)
    worker = rig.worker()
    worker.start()
    rig.catch_up()
    assert_accounted(rig)
    _, dead = rig.expected()
    stored = {(record.partition, record.offset): record for record in rig.records("raw_events")}
    codec = Codec("dead_letters", IDS)
    dead_letters = [codec.decode(record.value or b"") for record in rig.records("dead_letters")]
    assert len(dead_letters) == len(dead) == len(bad)
    for dead_letter in dead_letters:
        place = dead_letter["source_partition"], dead_letter["source_offset"]
        assert dead_letter["reason"] == dead[place]
        assert dead_letter["payload"] == (stored[place].value or b"")[:BYTES_MAX]
        assert dead_letter["source_topic"] == rig.settings.topic("raw_events")
    assert sorted(reason.value for reason in dead.values()) == sorted(reason for _, _, reason in bad)

    # A graceful stop, and a worker that knows only what the topics say goes on where the other was.
    assert worker.terminate() == 0
    rig.produce([*good[-50:], *later(good[-200:])])
    successor = rig.worker()
    successor.start()
    rig.catch_up()
    before, repeats = len(good), assert_accounted(rig)
    assert repeats == 0
    assert successor.metric('tally_streams_records_total{outcome="drop",reason="duplicate",topic="raw_events"}') >= 50
    assert successor.metric('tally_streams_restored{table="sessions"}') > 0
    assert before < len(rig.records("raw_events"))
    assert successor.terminate() == 0
