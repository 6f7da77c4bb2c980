"""Dead letters are sent through again, each by its own way, none twice, and noted. Without servers."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from schemas.dead_letters import REPLAY_HEADER, replay_of
from schemas.message_ids import MessageIds
from sinks.replay.query import DeadLetter
from sinks.replay.reinsert import Reinsertion
from sinks.replay.replay import CollectorUnreachableError, Replayed, Replayer
from tests.sinks.accounts import raw
from tests.sinks.dead_letters import Targets, dead_letter
from tests.sinks.memory import MemoryTable, MemoryWriter
from tests.sinks.records import PROJECT, codec, event, framed

RAW_TOPIC = "prefix_raw_events"
IDS = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(600)]


class Undelivered:
    """An error of Kafka."""

    def str(self) -> str:
        return "timed out"


class Producer:
    """Takes everything, and delivers, at a flush, all but the keys that `fails` has."""

    def __init__(self, notes: "Notes", fails: Sequence[bytes] = ()) -> None:
        self.sent: list[tuple[str, bytes, bytes, Any]] = []
        self.noted_before: list[list[tuple[str, str]]] = []
        self._notes = notes
        self._fails = fails
        self._waiting: list[tuple[bytes, Callable[..., None]]] = []

    def produce(
        self, topic: str, value: bytes, key: bytes, headers: list[tuple[str, bytes]], on_delivery: Callable[..., None]
    ) -> None:
        self.sent.append((topic, value, key, headers))
        self.noted_before.append(list(self._notes.marked))
        self._waiting.append((key, on_delivery))

    def poll(self, _timeout_s: float) -> None:
        """Nothing to wait for."""

    def purge(self) -> None:
        """Nothing in flight."""

    def flush(self, _timeout_s: float) -> int:
        waiting, self._waiting = self._waiting, []
        for key, on_delivery in waiting:
            on_delivery(Undelivered() if key in self._fails else None, None)
        return 0


class Notes:
    """The table of replays, and which events have rows, in memory."""

    def __init__(self) -> None:
        self.rows: set[tuple[str, str]] = set()
        self.marked: list[tuple[str, str]] = []

    def write_keys(self) -> dict[str, str]:
        return {PROJECT: "key"}

    def stored(self, names: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        return self.rows & set(names)

    def mark(self, dead_letters: Sequence[DeadLetter], outcome: str) -> None:
        self.marked += [(str(one["dead_letter_id"]), outcome) for one in dead_letters]


class Collector:
    """Takes all but those that `refuses` names."""

    def __init__(self, refuses: Mapping[str, str] | None = None) -> None:
        self.calls: list[list[DeadLetter]] = []
        self.away = False
        self._refuses = refuses or {}

    def take_again(self, dead_letters: Sequence[DeadLetter], write_keys: Mapping[str, str]) -> list[str]:
        if self.away:
            raise CollectorUnreachableError("nobody there")
        assert all(write_keys[one["project_id"]] == "key" for one in dead_letters if one["project_id"])
        self.calls.append(list(dead_letters))
        return [self._refuses.get(str(one["dead_letter_id"]), "") for one in dead_letters]


class Desk:
    """A replayer, and all that it works with."""

    def __init__(self, fails: Sequence[bytes] = (), refuses: Mapping[str, str] | None = None) -> None:
        self.notes = Notes()
        self.producer = Producer(self.notes, fails)
        self.collector = Collector(refuses)
        self.writer = MemoryWriter(MemoryTable())
        self.pauses: list[float] = []
        reinsertion = Reinsertion(Targets(self.writer), time.monotonic)
        self.replay: Callable[[Sequence[DeadLetter]], Replayed] = Replayer(
            self.notes, self.collector, self.producer, codec("raw_events"), [RAW_TOPIC], reinsertion, 4.0,
            self.pauses.append,
        ).replay  # fmt: skip


def refused(number: int, text: str = "", **fields: Any) -> dict[str, Any]:
    """A dead letter of the collector."""
    own = {"dead_letter_id": IDS[number], "project_id": PROJECT, "client_message_id": text, "payload": b"{}"}
    return dead_letter(-1, 0, stage="collector", topic="", **(own | fields))


def of_streams(number: int, **fields: Any) -> dict[str, Any]:
    """A dead letter of streams, whose payload is the raw event at this offset."""
    own = {
        "dead_letter_id": IDS[number],
        "payload": codec("raw_events").encode(raw(number)),
        "source_key": f"k{number}",
    }
    return dead_letter(number, number, stage="streams", topic=RAW_TOPIC, **(own | fields))


def test_a_record_of_streams_goes_to_its_topic_under_its_own_key_and_says_whose_replay_it_is() -> None:
    desk = Desk()
    assert desk.replay([of_streams(3)]).sent == 1
    ((topic, value, key, headers),) = desk.producer.sent
    assert (topic, value, key) == (RAW_TOPIC, codec("raw_events").encode(raw(3)), b"k3")
    assert headers == [(REPLAY_HEADER, IDS[3].encode())]
    assert replay_of(headers) == IDS[3]
    # Noted before it is sent: the ledger must know of the place even if this process dies now.
    assert desk.producer.noted_before == [[(IDS[3], "sending")]]
    assert desk.notes.marked == [(IDS[3], "sending"), (IDS[3], "sent")]


def test_what_has_a_row_is_not_sent_however_long_ago_it_came() -> None:
    desk = Desk()
    own = IDS[2]  # an event without a messageId has the dead letter's id when it is sent again
    desk.notes.rows = {(PROJECT, MessageIds(PROJECT)("m1")), (PROJECT, own), (PROJECT, event(3)["message_id"])}
    result = desk.replay([refused(0, "m0"), refused(1, "m1"), refused(2), of_streams(3), of_streams(4)])
    assert (result.sent, result.stored, result.failed) == (2, 3, 0)
    assert [[one["dead_letter_id"] for one in call] for call in desk.collector.calls] == [[IDS[0]]]
    assert [key for _, _, key, _ in desk.producer.sent] == [b"k4"]
    assert {name for name, outcome in desk.notes.marked if outcome == "stored"} == {IDS[1], IDS[2], IDS[3]}


def test_what_belongs_to_no_project_is_sent_to_find_out_whose_it_is() -> None:
    desk = Desk(refuses={IDS[1]: "phone_number_unknown"})
    nobodys = {"project_id": "", "tenant_id": "", "arrival": '{"receivedAt":1,"whatsappApp":"shop"}'}
    result = desk.replay([refused(0, **nobodys), refused(1, **nobodys), refused(2, "m2")])
    assert (result.sent, result.failed) == (2, 1)
    assert [one["dead_letter_id"] for one in desk.collector.calls[0]] == IDS[:3]
    assert result.problems == [f"dead letter {IDS[1]} is refused again: phone_number_unknown"]
    assert desk.notes.marked == [(IDS[0], "sent"), (IDS[2], "sent")]


def test_what_is_refused_again_or_not_taken_is_not_noted_as_sent() -> None:
    desk = Desk(refuses={IDS[1]: "event_too_large"})
    result = desk.replay([refused(0, "m0"), refused(1, "m1")])
    assert (result.sent, result.failed) == (1, 1)
    assert result.problems == [f"dead letter {IDS[1]} is refused again: event_too_large"]
    assert desk.notes.marked == [(IDS[0], "sent")]
    desk.collector.away = True
    assert desk.replay([refused(1, "m1")]).failed == 1
    assert desk.notes.marked == [(IDS[0], "sent")]


def test_what_was_not_delivered_is_named_and_can_be_sent_again() -> None:
    desk = Desk(fails=[b"k5"])
    result = desk.replay([of_streams(5), of_streams(6)])
    assert (result.sent, result.problems) == (1, [f"dead letter {IDS[5]} is not delivered to {RAW_TOPIC}: timed out"])
    assert (IDS[5], "sent") not in desk.notes.marked


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (of_streams(0, source_key=""), "has no key"),
        (of_streams(0, source_topic="prefix_enriched_events"), "no topic that streams reads"),
        (of_streams(0, source_topic="payments"), "no topic that streams reads"),
        (dead_letter(0, 0, stage="nobody"), "unknown stage"),
        (refused(0, project_id="gone"), "no write key"),
        (dead_letter(0, 0, payload=b"x"), "no schema"),
        (dead_letter(0, 0, topic="payments"), "no topic that sinks write"),
    ],
)
def test_what_cannot_be_sent_says_why_and_its_neighbour_goes(bad: DeadLetter, why: str) -> None:
    desk = Desk()
    result = desk.replay([bad, refused(7, "m7")])
    assert (result.sent, result.failed) == (1, 1)
    assert why in result.problems[0]
    assert desk.producer.sent == []


def test_rows_of_the_sink_go_in_and_are_noted() -> None:
    desk = Desk()
    assert desk.replay([dead_letter(0, 5), dead_letter(1, 6)]).sent == 2
    assert sorted(desk.writer.table.rows) == sorted([framed(5), framed(6)])
    assert desk.notes.marked == [("id-0", "stored"), ("id-1", "stored")]


def test_large_dead_letters_are_sent_in_several_requests_and_the_rate_is_kept() -> None:
    desk = Desk()
    page = [refused(number, f"m{number}", payload=bytes(2**20)) for number in range(40)]
    assert desk.replay(page).sent == 40
    assert [len(call) for call in desk.collector.calls] == [16, 16, 8]
    assert desk.pauses == [10.0]


def test_a_million_failures_keep_a_hundred_texts() -> None:
    total = Replayed()
    for start in range(0, 600, 200):
        page = Replayed()
        for number in range(start, start + 200):
            page.fail(refused(number), "is refused again")
        total.add(page)
    assert (total.failed, len(total.problems)) == (600, 100)


@pytest.mark.parametrize("value", [None, b"", b"no uuid", b"\xff" * 36])
def test_a_header_that_is_no_id_is_nobody_s_replay(value: bytes | None) -> None:
    assert replay_of([("other", b"x"), (REPLAY_HEADER, value)]) is None
