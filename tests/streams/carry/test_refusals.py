"""What a refused or interrupted run leaves: nothing that a worker of the new generation would restore."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Final

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.settings import Settings, load
from schemas.topics import STATE_TABLES, changelog_of
from streams.carry.command import Carrying
from streams.carry.kafka import Kafka
from streams.carry.moves import RefusedError, partition_of
from streams.runtime.envelope import applied_offset
from streams.sessions.state import SessionStateCodec, new_state
from tests.streams.carry.fake_kafka import FakeKafka, Places

KEYS: Final = [b"k%d" % number for number in range(99)]
STARTS: Places = {(source, partition): 10 for source in STATE_TABLES for partition in range(2)}


def value_of(applied: int) -> bytes:
    state = new_state()
    state.applied = applied
    return SessionStateCodec().encode(state)


@dataclass
class CarryRig:
    """A generation of two partitions that has a state in each, all committed, and the next one."""

    partitions: int = 2
    former: Settings = field(init=False)
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        settings = load({})
        self.former = settings.model_copy(update={"streams_generation": 1, "partitions": 2})
        self.settings = settings.model_copy(update={"streams_generation": 2, "partitions": self.partitions})
        self.kafka = FakeKafka(self.settings, partitions=self.partitions)
        self.keys = [next(key for key in KEYS if partition_of(key, 2) == partition) for partition in range(2)]
        for source in STATE_TABLES:
            self.kafka.sizes[changelog_of(source, self.former)] = 2
            self.kafka.ends |= {(source, partition): 10 for partition in range(2)}
            for partition, key in enumerate(self.keys):
                self.remember(source, partition, key, value_of(9))
        self.kafka.commits[1] = dict(STARTS)

    def remember(self, source: str, partition: int, key: bytes, value: bytes | None) -> None:
        self.kafka.append(changelog_of(source, self.former), partition, key, value)

    def carry(self, *, dry_run: bool = False) -> list[str]:
        told: list[str] = []
        Carrying(self.kafka, lambda: self.kafka, self.former, self.settings, dry_run, told.append).run()
        return told

    def assert_refused(self, why: str) -> None:
        with pytest.raises(RefusedError, match=why):
            self.carry()
        assert self.kafka.states(self.settings) == {}
        assert self.kafka.commits[2] == {}


def test_states_and_commits_are_carried() -> None:
    rig = CarryRig()
    assert "dry run" in rig.carry(dry_run=True)[-1]
    assert rig.kafka.states(rig.settings) == {}
    assert rig.carry()[-1].startswith(f"carried {len(STARTS)} states")
    assert rig.kafka.states(rig.settings) == rig.kafka.states(rig.former)
    assert rig.kafka.commits[2] == STARTS
    assert rig.carry() == ["carried before: the new generation starts where the former one ended"]


def test_a_generation_of_before_there_were_conversations_is_carried_without_them() -> None:
    rig = CarryRig()
    rig.kafka.sizes[changelog_of("conversation_signals", rig.former)] = 0
    rig.kafka.commits[1] = {place: start for place, start in STARTS.items() if place[0] != "conversation_signals"}
    assert rig.carry()[-1].startswith("carried 4 states")
    assert rig.kafka.commits[2] == rig.kafka.commits[1]


def test_states_without_a_commit_are_refused_before_one_is_written() -> None:
    rig = CarryRig()
    # raw_events was made anew: its commits went with it, and only identity_claims has some.
    rig.kafka.commits[1] = {place: start for place, start in STARTS.items() if place[0] == "identity_claims"}
    rig.assert_refused("raw_events/0 has states and no commit")
    assert rig.kafka.logs[changelog_of("raw_events", rig.settings), 0] == []


def test_a_state_in_the_last_partition_that_has_no_place_is_refused_before_one_is_written() -> None:
    rig = CarryRig(partitions=3)
    rig.remember("identity_claims", 1, rig.keys[0], value_of(3))
    rig.assert_refused("which its hash does not say")
    assert rig.kafka.logs[changelog_of("raw_events", rig.settings), 0] == []


@pytest.mark.parametrize("partitions", [2, 3])
def test_what_was_written_until_a_late_refusal_is_taken_back_and_may_be_carried_again(partitions: int) -> None:
    rig = CarryRig(partitions)

    def go_on(_written: int) -> None:
        rig.kafka.commits[1]["raw_events", 0] = 11

    rig.kafka.ends["raw_events", 0] = 11
    rig.kafka.before_write = go_on
    rig.assert_refused("has gone on meanwhile")
    changelog = changelog_of("raw_events", rig.settings)
    assert any(rig.kafka.logs[changelog, partition] for partition in range(partitions))
    assert rig.carry()[-1].startswith(f"carried {len(STARTS)} states")
    assert sum(map(len, rig.kafka.states(rig.settings).values())) == len(STARTS)


@pytest.mark.parametrize(
    ("kept", "why"), [("identity_claims", "raw_events/0 has states and no commit"), ("", "has committed nothing")]
)
def test_what_an_interrupted_run_has_written_is_taken_back_by_a_refused_one(kept: str, why: str) -> None:
    rig = CarryRig()
    rig.kafka.append(changelog_of("raw_events", rig.settings), 1, b"left", value_of(4))
    rig.kafka.commits[1] = {place: start for place, start in STARTS.items() if place[0] == kept}
    rig.assert_refused(why)


def test_nothing_is_taken_back_beside_workers_of_the_new_generation() -> None:
    rig = CarryRig()
    rig.kafka.before_write = lambda _written: rig.kafka.workers.update({2: 1})
    with pytest.raises(RefusedError, match=r"generation 2 has 1 workers.* carry to another generation"):
        rig.carry()
    assert len(rig.kafka.states(rig.settings)) == len(STARTS)


def test_a_state_that_moved_left_and_came_back_between_interrupted_runs_is_carried() -> None:
    rig = CarryRig(partitions=3)
    key = next(key for key in KEYS if partition_of(key, 2) == 0 != partition_of(key, 3) and key not in rig.keys)
    rig.remember("raw_events", 0, key, value_of(5))

    rig.carry()
    rig.kafka.commits[2].clear()  # as if it had been interrupted before its commits
    rig.remember("raw_events", 0, key, None)
    rig.carry()
    rig.kafka.commits[2].clear()
    rig.remember("raw_events", 0, key, value_of(8))
    rig.carry()
    place = "raw_events", partition_of(key, 3)
    assert applied_offset(rig.kafka.states(rig.settings)[place][key]) == -1


def test_commits_that_kafka_took_in_part_are_completed() -> None:
    rig = CarryRig()
    rig.carry()
    del rig.kafka.commits[2]["raw_events", 1]
    assert rig.carry()[-1].startswith(f"carried {len(STARTS)} states")
    assert rig.kafka.commits[2] == STARTS


@pytest.mark.parametrize("start", [9, 11])
def test_commits_of_the_new_generations_own_are_refused(start: int) -> None:
    rig = CarryRig()
    rig.kafka.commits[2] = {("raw_events", 1): start}
    with pytest.raises(RefusedError, match="has worked already"):
        rig.carry()


def test_a_commit_that_kafka_does_not_tell_is_not_one_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked:
        def __init__(self, _config: object) -> None:
            pass

        def committed(self, places: list[TopicPartition], timeout: float) -> list[SimpleNamespace]:
            errors = [None] * (len(places) - 1) + [KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)]
            return [
                SimpleNamespace(topic=place.topic, partition=place.partition, offset=-1001, error=error)
                for place, error in zip(places, errors, strict=True)
            ]

        def close(self) -> None:
            pass

    monkeypatch.setattr("streams.carry.kafka.Consumer", Asked)
    rig = CarryRig()
    with pytest.raises(KafkaException, match="UNSTABLE"):
        Kafka(rig.settings).committed(rig.settings, dict.fromkeys(STATE_TABLES, 2))


def test_a_broker_that_does_not_have_the_group_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.GROUP_ID_NOT_FOUND]

    class Admin:
        def __init__(self, _config: object) -> None:
            pass

        def describe_consumer_groups(self, groups: list[str]) -> dict[str, Future[None]]:
            answer: Future[None] = Future()
            answer.set_exception(KafkaException(KafkaError(answers.pop(0))))
            return dict.fromkeys(groups, answer)

    monkeypatch.setattr("streams.carry.kafka.AdminClient", Admin)
    monkeypatch.setattr("streams.carry.kafka._PAUSE_S", 0)
    rig = CarryRig()
    kafka = Kafka(rig.settings)
    assert kafka.members(rig.settings) == 0
    assert answers == []
    kafka.close()
