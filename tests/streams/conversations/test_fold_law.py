"""Laws of the fold: the operator's rows are those of the oracle, of the set of signals, whatever happens on the way."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.conversations import settle
from streams.conversations.signal import Signal
from tests.effort import seeds
from tests.streams.conversations import oracle
from tests.streams.conversations.desk import MINUTE, T0, Desk, Row, numbers, signal

INACTIVITY_S: Final = 3_600
_OF_ORACLE: Final = (
    "conversation_id", "current_state", "started_at", "first_response_at", "resolved_at", "resolved_reason",
    "message_count", "bot_message_count", "agent_message_count", "customer_message_count", "queued_at",
    "first_agent_response_at", "handoff_count", "last_activity_at", "user_id", "ctwa_clid", "ad_id", "handshake_token",
    "entry_source", "queued_seconds", "bot_seconds", "agent_seconds",
)  # fmt: skip

moments = st.integers(0, 600) | st.sampled_from((0, 1, 29, 30, 59, 60, 61, 120, 180, 181))


@st.composite
def signals(draw: st.DrawFn) -> Signal:
    """One of few facts, told in one of many ways."""
    kind = draw(st.sampled_from(("C", "C", "S", "Q", "AB", "AA", "E", "st", "st", "st")))
    more: dict[str, Any] = {}
    if kind == "st":
        sender = draw(st.sampled_from(("", "", "bot", "agent")))
        more = {
            "sender": sender,
            "trust": draw(st.sampled_from(("echo", "told"))) if sender else "",
            "is_failed": draw(st.integers(0, 9)) == 0,
            "is_template": draw(st.integers(0, 5)) == 0,
        }
    if kind == "C":
        more = {
            "is_standby": draw(st.integers(0, 5)) == 0,
            "ctwa_clid": draw(st.sampled_from(("", "", "click"))),
            "user_id": draw(st.sampled_from(("", "", "u1", "u2"))),
        }
    return signal(kind, draw(moments), f"f{draw(st.integers(0, 7))}", **more)


@dataclass(frozen=True)
class Case:
    """A history, and how it is worked on."""

    signals: list[Signal]
    settings: dict[str, Any]
    seed: int


cases = st.builds(
    Case,
    st.lists(signals(), min_size=1, max_size=25),
    st.fixed_dictionaries(
        {
            "inactivity_s": st.just(INACTIVITY_S),
            "grace_s": st.sampled_from((0, 0, 900)),
            "default_sender": st.sampled_from(("unknown", "bot", "agent")),
            "first_state": st.sampled_from(("queued", "bot_active")),
        }
    ),
    st.integers(0, 2**32),
)


def expected(desk: Desk, told: Sequence[Signal], now: int | None = None) -> list[Row]:
    """The oracle's rows."""
    customer = f"t/p/{told[0].phone_number_id}/{told[0].customer}"
    return oracle.rows(told, desk.settings.rules("p", told[0].phone_number_id), customer, now)


def compared(rows: Sequence[Row]) -> list[Row]:
    """What is compared."""
    found = [{name: row[name] for name in _OF_ORACLE} for row in rows]
    return sorted(found, key=lambda row: (row["started_at"], row["conversation_id"]))


def cuts(chance: random.Random, count: int) -> list[int]:
    """Where epochs end."""
    return [place for place in range(1, count) if chance.random() < 0.3]


@given(cases)
def test_the_rows_are_those_of_the_set_in_any_order_and_with_repeats(case: Case) -> None:
    chance = random.Random(case.seed)
    told = [*case.signals, *chance.choices(case.signals, k=3)]
    for _ in range(2):
        chance.shuffle(told)
        desk = Desk(numbers(**case.settings)).tell(told, cuts(chance, len(told)))
        assert compared(desk.rows()) == compared(expected(desk, case.signals))


@given(cases, st.integers(0, 900))
def test_and_silence_ends_them(case: Case, minutes: int) -> None:
    desk = Desk(numbers(**case.settings)).tell(case.signals).wait(T0 + minutes * MINUTE)
    assert compared(desk.rows()) == compared(expected(desk, case.signals, desk.now_ms))


@given(cases)
def test_a_worker_that_is_killed_between_outputs_and_states_changes_nothing(case: Case) -> None:
    chance = random.Random(case.seed)
    desk = Desk(numbers(**case.settings)).tell(case.signals[:1])
    desk.told += Desk().tell(case.signals[1:]).told
    committed = 1
    while committed < len(desk.told):
        end = chance.randint(committed + 1, len(desk.told))
        desk.work(committed, end)
        if chance.random() < 0.5:
            desk.end_epoch(durable=chance.random(), chance=chance)
        else:
            desk.end_epoch()
            committed = end
    assert compared(desk.rows()) == compared(expected(desk, case.signals))


@given(cases, st.integers(2, 6))
def test_what_is_sealed_goes_on_as_if_it_were_all_there(case: Case, facts_max: int) -> None:
    """In the order of their times nothing is late, so sealing must not show. No two have the same time: each signal is
    folded when it is read, and what is sealed is so up to a millisecond."""
    ordered = sorted(case.signals, key=lambda one: one.at)
    told = [one._replace(at=one.at + place) for place, one in enumerate(ordered)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settle, "FACTS_MAX", facts_max)
        patch.setattr(settle, "_FACTS_LEFT", facts_max // 2)
        once = list({(one.kind, one.fact_id): one for one in reversed(told)}.values())[::-1]
        once.sort(key=lambda one: one.at)
        desk = Desk(numbers(**case.settings))
        for at in sorted({one.at for one in once}):
            desk.tell([one for one in once if one.at == at])
        assert compared(desk.rows()) == compared(expected(desk, once))


NAMES: Final = ("US.1", "US.2", "US.3", "101", "102")


@pytest.mark.parametrize("seed", seeds(40))
def test_whatever_is_learned_of_names_the_rows_are_those_of_the_set(seed: int) -> None:
    chance = random.Random(seed)
    told = []
    for number in range(chance.randint(3, 14)):
        name, minutes = chance.choice(NAMES), chance.randint(0, 50)
        phone = chance.choice(("", "101", "102")) if name.startswith("US") else ""
        if chance.random() < 0.25:
            former = chance.choice([other for other in NAMES if other != name])
            told.append(signal("alias", minutes, f"f{number}", name, wa_id=phone, previous_customer=former))
        else:
            told.append(signal(chance.choice("CCA"), minutes, f"f{number}", name, wa_id=phone))
    whole = Desk().tell(told)
    facts = sum(one.kind != "alias" for one in told)
    for _ in range(4):
        order = [*told, *chance.choices(told, k=2)]
        chance.shuffle(order)
        desk = Desk().tell(order, cuts(chance, len(order)))
        found = [row | {"version": 0} for row in desk.rows()]
        assert found == [row | {"version": 0} for row in whole.rows()]
    opened = any(one.kind == "customer" for one in told)
    assert bool(whole.rows()) == opened
    assert sum(row["message_count"] for row in whole.rows()) <= facts
