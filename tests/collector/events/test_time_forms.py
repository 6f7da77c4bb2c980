"""Times as languages, phones and databases write them."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.events.times import parse_time
from tests.collector.made import RECEIVED_AT, admit_all, admit_one, batch, track

MOMENT = 1_795_526_114_000  # 2026-11-24T13:15:14Z, a Tuesday


@pytest.mark.parametrize(
    "sent",
    [
        # Go
        *("2026-11-24 13:15:14 +0000 UTC", "2026-11-24 14:15:14.0 +0100 CET", "2026-11-24 13:15:14 +0000 UTC m=+0.001"),
        *("2026-11-24 18:45:14.000000001 +0530 +0530", "Tue Nov 24 13:15:14 UTC 2026", "24 Nov 26 13:15:14 UTC"),
        # Ruby
        *("2026-11-24 13:15:14 +0000", "2026-11-24 13:15:14 UTC", "2026-11-24 08:15:14 -0500"),
        # Java, Kotlin, .NET
        *("2026-11-24T13:15:14Z[UTC]", "2026-11-24T14:15:14+01:00[Europe/Paris]", "Tue Nov 24 14:15:14 CET 2026"),
        *("/Date(1795526114000)/", r"\/Date(1795526114000+0100)\/", "2026-11-24T13:15:14.0000000Z"),
        # JavaScript
        "Tue Nov 24 2026 13:15:14 GMT+0000 (Coordinated Universal Time)",
        "Tue Nov 24 2026 15:15:14 GMT+0200 (Eastern European Standard Time)",
        *("Tue Nov 24 2026 05:15:14 GMT-0800 (PST)", "Tue, 24 Nov 2026 13:15:14 GMT"),
        # mail, HTTP, logs, shells
        *("Tue, 24 Nov 2026 08:15:14 -0500", "24 Nov 2026 08:15:14 EST", "Tuesday, 24-Nov-26 13:15:14 GMT"),
        *("Tue Nov 24 13:15:14 2026", "Tue, 24 Nov 2026 13:15:14 UT", "2026/11/24 13:15:14", "2026.11.24 13:15:14"),
        # databases
        *("2026-11-24 13:15:14+00", "2026-11-24 13:15:14,000", "2026-11-24T13:15:14,000Z", "20261124131514"),
        # phones whose owner likes twelve hours
        *("2026-11-24T1:15:14 PMZ", "2026-11-24T1:15:14\u202fPM+0000", "Nov 24, 2026, 1:15:14 PM"),
        # digits of other scripts
        *("٢٠٢٦-١١-٢٤T١٣:١٥:١٤Z", "۲۰۲۶-۱۱-۲۴T۱۳:۱۵:۱۴Z", "२०२६-११-२४T१३:१५:१४Z", "\u200e2026-11-24T13:15:14Z"),
        "٢٠٢٦-١١-٢٤T١٣:١٥:١٤٫٠٠٠Z",
        # years of other calendars
        *("2569-11-24T13:15:14Z", "0008-11-24T13:15:14Z", "0115-11-24T13:15:14Z", "๒๕๖๙-๑๑-๒๔T๑๓:๑๕:๑๔Z"),
        # epochs
        *(1_795_526_114, 1_795_526_114.0, 1_795_526_114_000, 1_795_526_114_000_000, 1_795_526_114_000_000_000),
        *("1795526114", "1795526114.000", "1795526114000", "1795526114000000", "1795526114000000000", " 1795526114 "),
    ],
)
def test_a_form_that_can_be_read_in_one_way_is_read(sent: str | float) -> None:
    assert parse_time(sent) == MOMENT


def test_a_leap_day_of_another_calendar_is_one_of_ours() -> None:
    assert parse_time("2567-02-29T00:00:00Z") == parse_time("2024-02-29T00:00:00Z")


@pytest.mark.parametrize(
    "sent",
    [
        *("11/12/2026", "11/12/2026 1:15:14 PM", "12.11.2026 13:15", "13:15:14", "Nov 24", "tomorrow", "{}", "true"),
        # zones that several countries use, or that only a table of zones knows
        *("Tue Nov 24 13:15:14 IST 2026", "2026-11-24T13:15:14[Europe/Paris]", "2026-11-24 13:15:14 Europe/Paris"),
        *("2026-02-30 13:15:14 +0000 UTC", "Tue Foo 24 2026 13:15:14 GMT+0000", "2026-11-24 25:15:14 +0000"),
        # what Go, .NET and others have where nothing was set
        *("0001-01-01T00:00:00Z", "0001-01-01 00:00:00 +0000 UTC", 0, "0"),
        "2026-11-24 13:15:14 +0000 UTC" + " " * 200,
    ],
)
def test_a_form_that_could_mean_two_times_or_none_is_not_read(sent: str | float) -> None:
    assert parse_time(sent) is None


@given(st.text("0123456789-/.:, TtZzGMUCadePp+[]()\u0662\u202f", max_size=60))
@example("9999-12-31 23:59:59 -2359")
@example("1900-01-01 00:00:00 +9999")
def test_nothing_that_looks_like_a_time_raises(sent: str) -> None:
    parsed = parse_time(sent)
    assert parsed is None or isinstance(parsed, int)


def noted(event: Any, **members: Any) -> Any:
    """What the collector says about one event of a batch."""
    (raw_event,) = admit_all(batch(event, **members)).admitted
    return json.loads(raw_event.context).get("tally", {})


@pytest.mark.parametrize("sent", ["gestern", "", "۱۳:۱۵", "x" * 1_000])
def test_text_that_is_no_time_is_kept_as_it_was_sent(sent: str) -> None:
    assert noted(track(timestamp=sent)) == {"timestamp_rule": "unparsable", "timestamp": sent}


@pytest.mark.parametrize(("sent", "kept"), [({"$date": 1}, '{"$date":1}'), ([2026, 11], "[2026,11]"), (True, "true")])
def test_a_value_that_is_no_time_is_kept_as_json(sent: object, kept: str) -> None:
    assert noted(track(timestamp=sent)) == {"timestamp_rule": "unparsable", "timestamp": kept}


def test_a_number_that_is_no_time_is_kept() -> None:
    assert noted(track(timestamp=-7)) == {"timestamp_rule": "unparsable", "timestamp": -7}
    assert noted(b'{"type":"page","userId":"u","timestamp":1e999}')["timestamp"] == "1e999"


def test_a_sent_at_that_is_no_time_is_kept_and_corrects_nothing() -> None:
    at = RECEIVED_AT - 300_000
    (event,) = admit_one(track(timestamp=at, sentAt="soon")).admitted
    assert event.timestamp == at
    assert noted(track(timestamp=at, sentAt="soon")) == {"sent_at": "soon"}
    assert noted(track(timestamp=at), sentAt={"a": 1}) == {"sent_at": '{"a":1}'}
    assert noted(track(timestamp=at, sentAt=at), sentAt="soon") == {}


def test_what_stands_in_place_of_a_time_is_bounded() -> None:
    assert len(noted(track(timestamp="x" * 20_000))["timestamp"]) == 1_000
