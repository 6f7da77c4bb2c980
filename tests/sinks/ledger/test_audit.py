"""The ledger of real topics and tables, above all of what the sink itself refuses."""

import struct
from typing import Any

import pytest

from sinks.ledger.account import RawEvent
from tests.sinks.accounts import Accounts
from tests.sinks.records import NOT_A_UUID, PROJECT, codec, event, framed
from tests.sinks.rig import SinkRig

# Each of its own length as a varint.
OFFSETS = (0, 1, 63, 64, 8_191, 8_192, 1_048_576, 2**31 - 1, 2**31, 2**47)


@pytest.fixture
def accounts(rig: SinkRig) -> Accounts:
    rig.found_group()
    return Accounts(rig)


def run(accounts: Accounts, **overrides: Any) -> None:
    accounts.rig.sink("enriched_events", "dead_letters", **overrides).start()


def test_a_row_that_the_sink_refused_is_dead_and_not_lost(accounts: Accounts) -> None:
    accounts.accept(6)
    accounts.hand_on(6, refused={2, 4})
    run(accounts)
    found = accounts.settled()
    account = found.partitions[0]
    assert (account.accepted, account.stored, account.dead, account.lost) == (6, 4, 2, [])
    assert found.total.sound
    assert found.projects == {PROJECT: {"accepted": 6, "stored": 4, "dead": 2}}


def test_what_streams_left_out_is_lost_beside_what_the_sink_refused(accounts: Accounts) -> None:
    accounts.accept(6)
    accounts.hand_on(6, left_out={3}, refused={2})
    run(accounts)
    found = accounts.settled()
    assert found.partitions[0].lost == [3]
    assert found.total.difference == 1
    assert found.projects[PROJECT] == {"accepted": 6, "stored": 4, "dead": 1, "lost": 1}


def test_the_repeat_of_an_event_that_the_sink_refused_is_a_duplicate(accounts: Accounts) -> None:
    accounts.accept(6, repeats={3: 2, 5: 1})
    accounts.hand_on(6, left_out={3, 5}, refused={2})
    run(accounts)
    found = accounts.settled()
    assert found.total.sound, found
    assert found.projects[PROJECT] == {"accepted": 6, "stored": 3, "dead": 1, "duplicate": 2}


def test_a_dead_letter_is_of_its_own_partition_and_generation_only(accounts: Accounts) -> None:
    for partition in (0, 1):
        accounts.accept(3, partition)
        accounts.hand_on(3, left_out={2}, partition=partition)
    # Refused, but of a generation that is none of this raw_events'.
    accounts.rig.produce("enriched_events", [framed(2, generation=2, **NOT_A_UUID)])
    run(accounts)
    accounts.rig.wait_for_rows(1, "dead_letters")
    found = accounts.settled()
    assert {number: account.lost for number, account in found.partitions.items()} == {0: [2], 1: [2]}


def test_a_record_that_was_refused_unread_counts_by_the_place_it_begins_with(accounts: Accounts) -> None:
    accounts.accept(4)
    unknown = struct.pack(">bI", 0, 4711)
    values = [framed(0), unknown + framed(1)[5:], framed(2)[:7], framed(3)[:60]]
    accounts.rig.produce("enriched_events", values)
    accounts.commit(4)
    run(accounts)
    found = accounts.settled()
    # Of the third, the bytes that say which raw event it was are gone.
    assert found.partitions[0].lost == [2]
    assert (found.partitions[0].stored, found.partitions[0].dead) == (1, 2)


def test_places_of_every_length_are_read_off_the_bytes(accounts: Accounts) -> None:
    run(accounts)
    accounts.rig.produce("enriched_events", [framed(offset, 1, **NOT_A_UUID) for offset in OFFSETS], 1)
    accounts.rig.wait_for_rows(len(OFFSETS), "dead_letters")
    with accounts.sources() as (reader, _):
        assert reader.ledger.stored(1, 0, 2**48).dead.tolist() == list(OFFSETS)
        assert reader.ledger.stored(1, 64, 8_192).dead.tolist() == [64, 8_191]
        assert reader.ledger.stored(0, 0, 2**48).dead.tolist() == []
        assert [death.raw_offset for death in reader.trace.dead_events(1, [63, 65, 2**47])] == [63, 2**47]


def test_an_id_of_a_refused_event_is_found_whichever_of_its_ids_is_broken(accounts: Accounts) -> None:
    run(accounts)
    values = [framed(0, **NOT_A_UUID), framed(1, message_id="no uuid"), framed(2, tenant_id="t" * 300, event_id="no")]
    accounts.rig.produce("enriched_events", values)
    accounts.rig.wait_for_rows(3, "dead_letters")
    asked = [RawEvent(offset, PROJECT, event(offset)["message_id"]) for offset in range(4)]
    with accounts.sources() as (reader, _):
        assert reader.ledger.kept(asked) == {(PROJECT, asked[0].message_id), (PROJECT, asked[2].message_id)}


def test_nothing_is_lost_while_dead_letters_are_on_their_way(accounts: Accounts) -> None:
    accounts.accept(3)
    accounts.hand_on(3, refused={1})
    accounts.rig.sink("enriched_events").start()  # nobody writes dead letters
    accounts.rig.wait_for_acknowledgement([3, 0])
    found = accounts.ledger()
    assert found.total.sound
    assert found.total.in_flight == 3
    accounts.rig.sink("dead_letters").start()
    assert accounts.settled().total.dead == 1


def test_what_the_sink_has_not_reached_is_in_flight(accounts: Accounts) -> None:
    accounts.accept(9)
    accounts.hand_on(7)
    found = accounts.ledger()
    assert (found.total.accepted, found.total.in_flight, found.total.lost) == (9, 9, [])
    run(accounts)
    accounts.rig.wait_until(lambda: accounts.ledger().total.stored == 7, accounts.ledger)
    assert accounts.ledger().total.in_flight == 2
    assert accounts.ledger().total.sound


def test_a_watermark_of_another_generation_says_nothing_of_this_one(accounts: Accounts) -> None:
    accounts.rig.produce("enriched_events", [framed(500)])
    run(accounts)
    accounts.rig.wait_for_acknowledgement([1, 0])
    with accounts.sources() as (_, topics):
        assert topics.sink(0) == (500, False)
    accounts.rig.settings = accounts.rig.settings.model_copy(update={"streams_generation": 2})
    with accounts.sources() as (_, topics):
        assert topics.sink(0) == (None, False)


def test_the_codec_still_begins_an_enriched_event_with_its_place_and_its_ids() -> None:
    names = list(codec("enriched_events").decode(framed(7)))
    assert names[:5] == ["source_offset", "source_partition", "source_generation", "event_id", "message_id"]
