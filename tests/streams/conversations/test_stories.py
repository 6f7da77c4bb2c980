"""What becomes of conversations, story by story: minutes after nine o'clock, the same in every order."""

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest

from streams.conversations.signal import Signal
from tests.effort import examples
from tests.streams.conversations.desk import MINUTE, T0, Desk, Row, minute, numbers, short, signal

TOLD_BOT: Final = {"sender": "bot", "trust": "told"}
ECHO_AGENT: Final = {"sender": "agent", "trust": "echo"}
CLICK: Final = {"ctwa_clid": "TallySampleClickId", "ad_id": "500000000000001"}

# Name, settings, signals, the rows in short, and of each row what else is asked of it.
STORIES: Final[Sequence[tuple[str, dict[str, Any], list[Signal], list[tuple[Any, ...]], list[dict[str, Any]]]]] = (
    (
        "a bot and then an agent answer",
        {},
        [signal("C", 0), signal("B", 1), signal("C", 2), signal("A", 10), signal("E", 20)],
        [("resolved", 0, 1, 20, "4/1/1")],
        [{"queued_at": 2, "first_agent_response_at": 10, "seconds": (60, 540, 600), "resolved_reason": "ended"}],
    ),
    (
        "a bot hands over to the queue",
        {},
        [signal("C", 0), signal("B", 1), signal("Q", 3), signal("A", 8)],
        [("agent_active", 0, 1, None, "3/1/1")],
        [{"queued_at": 3, "first_agent_response_at": 8, "handoff_count": 1}],
    ),
    (
        "an agent gives it back to the queue",
        {},
        [signal("C", 0), signal("AA", 1), signal("A", 2), signal("Q", 30), signal("C", 31), signal("A", 45)],
        [("agent_active", 0, 2, None, "4/0/2")],
        [{"queued_at": 0, "seconds": (960, 0, 1740), "handoff_count": 0}],
    ),
    (
        "the customer comes back after five days",
        {},
        [signal("C", 0), signal("A", 5), signal("E", 10), signal("C", 7200), signal("A", 7203)],
        [("resolved", 0, 5, 10, "2/0/1"), ("agent_active", 7200, 7203, None, "2/0/1")],
        [{}, {"queued_at": 7200, "seconds": (180, 0, 0)}],
    ),
    (
        "the customer comes back within the half-hour",
        {},
        [signal("C", 0), signal("A", 5), signal("E", 10), signal("C", 12)],
        [("resolved", 0, 5, 10, "2/0/1"), ("queued", 12, None, None, "1/0/0")],
        [{}, {}],
    ),
    (
        "thanks within the grace are counted in what has ended",
        {"grace_s": 300},
        [signal("C", 0), signal("A", 5), signal("E", 10), signal("C", 12)],
        [("resolved", 0, 5, 10, "3/0/1")],
        [{}],
    ),
    (
        "silence ends what nobody ended",
        {},
        [signal("C", 0), signal("A", 5), signal("C", 1500)],
        [("resolved", 0, 5, 1445, "2/0/1"), ("queued", 1500, None, None, "1/0/0")],
        [{"resolved_reason": "inactivity", "seconds": (300, 0, 0)}, {}],
    ),
    (
        "no gap is longer than a day",
        {},
        [signal("C", 0), signal("A", 1430), signal("C", 1441)],
        [("agent_active", 0, 1430, None, "3/0/1")],
        [{}],
    ),
    (
        "an answer that comes late joins two",
        {},
        [signal("C", 0), signal("C", 1500), signal("A", 720)],
        [("agent_active", 0, 720, None, "3/0/1")],
        [{}],
    ),
    (
        "read before sent, and the sender says it was the bot",
        {},
        [
            signal("C", 0),
            signal("st", 10.67, "w", **TOLD_BOT),
            signal("st", 10, "w", **TOLD_BOT),
            signal("st", 11, "w2"),
        ],
        [("bot_active", 0, 10, None, "3/1/0")],
        [{}],
    ),
    (
        "a lone read is an upper bound",
        {"default_sender": "agent"},
        [signal("C", 0), signal("st", 6, "w")],
        [("agent_active", 0, 6, None, "2/0/1")],
        [{}],
    ),
    (
        "until the message is known to have been sent",
        {"default_sender": "agent"},
        [signal("C", 0), signal("st", 6, "w"), signal("st", 5, "w")],
        [("agent_active", 0, 5, None, "2/0/1")],
        [{}],
    ),
    (
        "what only failed was read by nobody",
        {"default_sender": "agent"},
        [signal("C", 0), signal("st", 2, "w", is_failed=True)],
        [("queued", 0, None, None, "1/0/0")],
        [{}],
    ),
    (
        "what failed on one device and came on another was read",
        {"default_sender": "agent"},
        [signal("C", 0), signal("st", 2, "w", is_failed=True), signal("st", 3, "w")],
        [("agent_active", 0, 3, None, "2/0/1")],
        [{}],
    ),
    (
        "a campaign before it is not of it",
        {},
        [signal("st", -60, "w", is_template=True), signal("C", 0)],
        [("queued", 0, None, None, "1/0/0")],
        [{}],
    ),
    (
        "a template within it answers nothing, and holds nothing open",
        {"default_sender": "agent"},
        [signal("C", 0), signal("st", 1400, "w", is_template=True), signal("C", 1441)],
        [("resolved", 0, None, 1440, "2/0/0"), ("queued", 1441, None, None, "1/0/0")],
        [{}, {}],
    ),
    (
        "another responder has it, and hands over",
        {},
        [
            signal("C", 0, is_standby=True),
            signal("B", 1 / 12, trust="echo"),
            signal("Q", 2),
            signal("C", 3),
            signal("A", 6),
        ],
        [("agent_active", 0, 0.08, None, "4/1/1")],
        [{"queued_at": 2, "first_agent_response_at": 6, "handoff_count": 1, "seconds": (240, 120, 0)}],
    ),
    (
        "an echo of the app and its receipts are one message",
        {},
        [signal("C", 0), signal("st", 15, "w", **ECHO_AGENT), signal("st", 16, "w"), signal("st", 15, "w")],
        [("agent_active", 0, 15, None, "2/0/1")],
        [{}],
    ),
    (
        "who is told is believed before an echo",
        {},
        [signal("C", 0), signal("st", 15, "w", **ECHO_AGENT), signal("B", 15, "w")],
        [("bot_active", 0, 15, None, "2/1/0")],
        [{}],
    ),
    (
        "an ad brought the first message that could be read",
        {},
        [signal("C", 0), signal("C", 1, **CLICK), signal("C", 2, ctwa_clid="another")],
        [("queued", 0, None, None, "3/0/0")],
        [{"entry_source": "ctwa", **CLICK}],
    ),
    (
        "a survey after the end takes nothing from it",
        {},
        [signal("C", 0), signal("A", 5), signal("E", 10), signal("B", 10.5), signal("E", 11)],
        [("resolved", 0, 5, 10, "3/1/1")],
        [{}],
    ),
)


def orders(signals: Sequence[Signal], chance: random.Random) -> Iterator[list[Signal]]:
    """Every order of a few signals, some of many; each with two of them once more."""
    few = len(signals) <= 5
    count = examples(100)
    found: Iterator[Sequence[Signal]] = itertools.permutations(signals) if few else iter(())
    some = list(itertools.islice(found, count)) or [chance.sample(signals, len(signals)) for _ in range(count)]
    for order in [signals, *some]:
        yield [*order, *chance.sample(list(signals), min(2, len(signals)))]


def said(row: Row, name: str) -> Any:
    """A member of a row as the stories write it."""
    if name == "seconds":
        return tuple(row[f"{state}_seconds"] for state in ("queued", "bot", "agent"))
    return minute(row[name]) if name.endswith("_at") else row[name]


@pytest.mark.parametrize(
    ("settings", "signals", "rows", "more"), [story[1:] for story in STORIES], ids=[story[0] for story in STORIES]
)
def test_the_story_is_the_same_in_every_order(
    settings: dict[str, Any], signals: list[Signal], rows: list[tuple[Any, ...]], more: list[dict[str, Any]]
) -> None:
    chance = random.Random(len(signals))
    for order in orders(signals, chance):
        desk = Desk(numbers(**settings)).tell(order, epochs=[chance.randrange(len(order))])
        found = desk.rows()
        assert [short(row) for row in found] == rows, order
        assert [{name: said(row, name) for name in wanted} for row, wanted in zip(found, more, strict=True)] == more
        assert len({row["conversation_id"] for row in found}) == len(found)


def test_silence_ends_it_when_somebody_looks_and_not_before() -> None:
    desk = Desk().tell([signal("C", 0), signal("A", 5)])
    assert [short(row) for row in desk.wait(T0 + 1444 * MINUTE).rows()] == [("agent_active", 0, 5, None, "2/0/1")]
    assert [short(row) for row in desk.wait(T0 + 1446 * MINUTE).rows()] == [("resolved", 0, 5, 1445, "2/0/1")]
    assert desk.rows()[0]["resolved_reason"] == "inactivity"
    published = len(desk.published)
    assert len(desk.wait(T0 + 1500 * MINUTE).published) == published  # nobody says it twice
    (_, second) = desk.tell([signal("C", 1500)]).rows()
    assert short(second) == ("queued", 1500, None, None, "1/0/0")


def test_a_fact_that_comes_later_corrects_silence() -> None:
    desk = Desk().tell([signal("C", 0), signal("A", 5)]).wait(T0 + 1446 * MINUTE)
    (row,) = desk.tell([signal("A", 700)]).rows()
    assert short(row) == ("agent_active", 0, 5, None, "3/0/2")
    (row,) = desk.tell([signal("C", 1)]).rows()
    assert short(row) == ("agent_active", 0, 5, None, "4/0/2")


def test_what_was_looked_at_stays_ended_when_something_older_comes() -> None:
    desk = Desk().tell([signal("C", 0), signal("A", 5)]).wait(T0 + 1446 * MINUTE)
    (row,) = desk.tell([signal("C", 2)]).rows()
    assert short(row) == ("resolved", 0, 5, 1445, "3/0/1")


def test_silence_is_looked_for_by_the_worker_that_takes_over() -> None:
    desk = Desk().tell([signal("C", 0), signal("A", 5)])
    desk.restart()
    assert [row["current_state"] for row in desk.wait(T0 + 1446 * MINUTE).rows()] == ["resolved"]


@pytest.mark.parametrize(("minutes", "renamed"), [(-3, True), (1, False)])
def test_a_message_of_six_days_ago_gives_another_beginning_and_another_name_if_the_half_hour_is_another(
    minutes: int, renamed: bool
) -> None:
    desk = Desk().tell([signal("C", 0), signal("A", 4)])
    (before,) = desk.rows()
    assert short(before) == ("agent_active", 0, 4, None, "2/0/1")
    (after,) = desk.tell([signal("C", minutes, received_at=T0 + 6 * 1440 * MINUTE)]).rows()
    assert short(after) == ("agent_active", min(0, minutes), 4, None, "3/0/1")
    assert desk.tombstones() == ({before["conversation_id"]} if renamed else set())
    assert (after["conversation_id"] != before["conversation_id"]) == renamed


def test_what_joins_two_leaves_a_tombstone_of_the_second() -> None:
    desk = Desk().tell([signal("C", 0), signal("C", 1500)])
    first, second = desk.rows()
    (row,) = desk.tell([signal("A", 720)]).rows()
    assert row["conversation_id"] == first["conversation_id"]
    assert desk.tombstones() == {second["conversation_id"]}


def test_thirty_days_are_one_conversation_s_most() -> None:
    day = 1440
    desk = Desk(numbers(inactivity_s=604_800))
    for number in (0, 6, 12, 18, 24, 30, 31):
        desk.tell([signal("C", number * day)])
    assert [short(row) for row in desk.rows()] == [
        ("resolved", 0, None, 30 * day, "6/0/0"),
        ("queued", 31 * day, None, None, "1/0/0"),
    ]


def test_a_phone_alone_leads_to_the_customer_it_was_seen_with_forty_days_ago() -> None:
    later = 40 * 1440
    desk = Desk().tell([signal("C", 0, customer="US.1", wa_id="12025550101")])
    desk.tell([signal("C", later, customer="US.1")])
    desk.tell([signal("A", later + 5, customer="12025550101")])
    first, second = desk.rows()
    assert {first["whatsapp_phone_id"], second["whatsapp_phone_id"]} == {"US.1"}
    assert short(second) == ("agent_active", later, later + 5, None, "2/0/1")
    assert (first["wa_id"], second["wa_id"]) == ("12025550101", "12025550101")


CHANGED: Final = [
    signal("C", 0, customer="US.1", wa_id="101"),
    signal("alias", 6, customer="US.2", wa_id="111", previous_customer="US.1"),
    signal("C", 7, customer="US.2"),
]


def test_a_customer_with_another_number_is_the_same_one_and_who_has_the_old_number_is_another() -> None:
    stranger = signal("C", 9, customer="US.3", wa_id="101")
    for order in itertools.permutations([*CHANGED, stranger]):
        desk = Desk().tell(order, epochs=[1, 2, 3])
        one, other = desk.rows()
        assert (one["whatsapp_phone_id"], one["wa_id"], short(one)[-1]) == ("US.1", "111", "2/0/0"), order
        assert (other["whatsapp_phone_id"], other["wa_id"], short(other)[-1]) == ("US.3", "101", "1/0/0")
        told = [signal("A", 8, customer="101"), signal("A", 10, customer="101"), signal("A", 11, customer="111")]
        one, other = desk.tell(told).rows()
        assert (short(one)[-1], short(other)[-1]) == ("4/0/2", "2/0/1")


def test_a_customer_known_by_phone_alone_is_renamed_when_the_id_is_told() -> None:
    desk = Desk().tell([signal("C", 0, customer="101")])
    (before,) = desk.rows()
    assert before["whatsapp_phone_id"] == before["wa_id"] == "101"
    (after,) = desk.tell([signal("C", 1, customer="US.1", wa_id="101")]).rows()
    assert (after["whatsapp_phone_id"], short(after)[-1]) == ("US.1", "2/0/0")
    assert desk.tombstones() == {before["conversation_id"]}


def test_phones_that_changed_before_there_were_ids_are_one_customer() -> None:
    signals = [
        signal("C", 0, customer="101"),
        signal("alias", 6, customer="111", previous_customer="101"),
        signal("C", 7, customer="111"),
        signal("C", 8, customer="US.1", wa_id="111"),
    ]
    for order in itertools.permutations(signals):
        (row,) = Desk().tell(order, epochs=[1, 2, 3]).rows()
        assert (row["whatsapp_phone_id"], row["message_count"]) == ("US.1", 3), order


def test_the_same_customer_of_two_tenants_is_two_who_never_meet() -> None:
    def of_other(one: Signal) -> Signal:
        return one._replace(tenant_id="other")

    known = signal("C", 0, customer="US.1", wa_id="101")
    signals = [known, of_other(signal("C", 0, customer="US.1")), of_other(signal("A", 5, customer="101"))]
    for order in itertools.permutations(signals):
        rows = {
            (row["tenant_id"], row["whatsapp_phone_id"]): short(row) for row in Desk().tell(order, epochs=[1]).rows()
        }
        # The other tenant was never told whose phone that is, and an answer alone opens nothing.
        assert rows == {("t", "US.1"): ("queued", 0, None, None, "1/0/0"), ("other", "US.1"): rows["t", "US.1"]}
    taught = Desk().tell([*signals, of_other(known._replace(fact_id="taught"))])
    assert {row["tenant_id"]: short(row)[-1] for row in taught.rows()} == {"t": "1/0/0", "other": "3/0/1"}


def linked(minutes: float, kind: str = "linked", **more: str) -> Signal:
    """What the identities agent tells of a token."""
    told = {"handshake_token": "F1RBD-DB1B9", "anonymous_id": "ann", "session_id": "s1", "user_id": "u1"} | more
    return signal(kind, minutes, f"C{minutes:g}", **told)


def test_a_token_ties_the_conversation_that_holds_its_message_to_the_visitor() -> None:
    signals = [signal("C", -2000), signal("C", 0), linked(0), signal("A", 5)]
    for order in itertools.permutations(signals):
        first, second = Desk().tell(order, epochs=[1, 2, 3]).rows()
        assert (first["entry_source"], first["linked_session_id"]) == ("organic", None)
        names = ("entry_source", "handshake_token", "linked_session_id", "linked_anonymous_id", "user_id")
        assert [second[name] for name in names] == ["handshake", "F1RBD-DB1B9", "s1", "ann", "u1"]


def test_a_link_that_is_taken_back_is_none_in_whatever_order_that_is_told() -> None:
    signals = [signal("C", 0, user_id="told"), linked(0), linked(0, "unlinked")]
    for order in itertools.permutations(signals):
        (row,) = Desk().tell(order, epochs=[1, 2]).rows()
        assert (row["entry_source"], row["handshake_token"], row["user_id"]) == ("organic", None, "told")


def test_an_integrator_s_id_counts_more_than_that_of_the_visitor() -> None:
    (row,) = Desk().tell([signal("C", 0), linked(0), signal("A", 5, user_id="crm-7")]).rows()
    assert row["user_id"] == "crm-7"
