"""What a state keeps: nine days of facts, as many as fit, and what is late."""

import random
from typing import Final

import pytest

from schemas.outcomes import FactOutcome, Remark
from streams.conversations import settle
from streams.conversations.settle import FACTS_MAX
from streams.conversations.state import ConversationState, ConversationStateCodec
from tests.streams.conversations.desk import MINUTE, T0, Desk, numbers, short, signal

DAY: Final = 1440


def state_of(desk: Desk, customer: str = "US.1") -> ConversationState:
    (value,) = [
        value
        for shard in desk.table.store.shards.values()
        for key, value in shard.items()
        if key.startswith(b"c/") and key.endswith(f"/{customer}".encode())
    ]
    return ConversationStateCodec().decode(value)


@pytest.mark.parametrize(("late_ms", "count"), [(0, 2), (1, 1)])
def test_a_fact_that_comes_more_than_eight_days_after_it_was_is_counted_and_changes_nothing(
    late_ms: int, count: int
) -> None:
    desk = Desk().tell([signal("C", 0)])
    received_at = T0 + MINUTE + settle.LATENESS_MS + late_ms
    (row,) = desk.tell([signal("C", 1, received_at=received_at)]).rows()
    assert row["message_count"] == count
    assert desk.outputs.facts == {("customer", FactOutcome.NEW if count == 2 else FactOutcome.LATE): 1}


def test_an_open_conversation_goes_on_from_what_is_sealed() -> None:
    desk = Desk(numbers(inactivity_s=604_800))
    for day in range(0, 30, 3):
        desk.tell([signal("C", day * DAY), signal("A", day * DAY + 5)])
    (row,) = desk.rows()
    assert short(row) == ("agent_active", 0, 5, None, "20/0/10")
    state = state_of(desk)
    assert len(state.customer.facts) == 7  # of nine days
    assert state.customer.sealed.episode is not None
    assert (state.customer.sealed.episode.started_at, state.customer.sealed.episode.messages) == (T0, 13)


def test_what_is_over_leaves_and_its_row_stays() -> None:
    desk = Desk()
    for day in range(0, 30, 3):
        desk.tell([signal("C", day * DAY), signal("E", day * DAY + 5)])
    assert [short(row)[0] for row in desk.rows()] == ["resolved"] * 10
    assert desk.tombstones() == set()
    assert len(state_of(desk).customer.emitted) == 4


def test_a_receipt_of_a_message_that_is_sealed_is_no_second_message() -> None:
    desk = Desk(numbers(inactivity_s=604_800))
    desk.tell([signal("C", 0), signal("A", 5, "w")])
    for day in (5, 10, 15):
        desk.tell([signal("C", day * DAY)])
    assert desk.rows()[0]["message_count"] == 5
    (row,) = desk.tell([signal("st", 15 * DAY, "w")]).rows()
    assert (row["message_count"], row["agent_message_count"]) == (5, 1)
    assert desk.published[-1]["version"] <= row["version"]


def test_a_customer_has_so_many_facts_at_most_and_the_counts_are_right() -> None:
    desk = Desk()
    count = FACTS_MAX + 2_000
    told = [signal("C", number / 60, f"f{number}") for number in range(count)]
    for start in range(0, count, 1_000):
        desk.tell(told[start : start + 1_000])
        assert len(state_of(desk).customer.facts) <= FACTS_MAX
    (row,) = desk.rows()
    assert (row["message_count"], row["started_at"]) == (count, T0)


def test_facts_with_long_texts_are_fewer() -> None:
    desk = Desk()
    told = [signal("C", number / 60, f"f{number}", user_id="u" * 500) for number in range(3_000)]
    desk.tell(told)
    value_bytes = len(ConversationStateCodec().encode(state_of(desk)))
    assert value_bytes < 2**20
    assert desk.rows()[0]["message_count"] == 3_000


def test_what_comes_before_what_is_sealed_is_remarked_and_changes_nothing() -> None:
    chance = random.Random(7)
    desk = Desk(numbers(inactivity_s=604_800))
    for day in (0, 5, 10, 15):
        desk.tell([signal("C", day * DAY)])
    before = [short(row) for row in desk.rows()]
    desk.tell([signal("C", 4 * DAY + chance.random())])  # says it was received at once, from a partition far behind
    assert [short(row) for row in desk.rows()] == before
    end = desk.chain.end_epoch()
    assert Remark.LATE not in end.outputs.remarks


@pytest.mark.parametrize("ad", ["", "x" * 10])
def test_states_are_written_and_read_as_they_are(ad: str) -> None:
    desk = Desk().tell([signal("C", 0, ad_id=ad, wa_id="101"), signal("alias", 1, previous_customer="US.0")])
    for shard in desk.table.store.shards.values():
        for value in shard.values():
            assert ConversationStateCodec().encode(ConversationStateCodec().decode(value)) == value
