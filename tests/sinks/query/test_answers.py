"""Each query's answer to a planted story, worked out by hand."""

from datetime import UTC, date, datetime, timedelta
from itertools import product

import pytest

from sinks.query.errors import QuestionError
from sinks.query.moments import zones
from tests.sinks.query.stories import Story, second

WINDOW_S = 60
ABC = ("A", "B", "C")
FILLED = 100_000
BORDERS = {"begin": "2026-03-02", "end": "2026-03-02"}
FIRST = datetime(2026, 3, 2, tzinfo=UTC)
LAST = datetime(2026, 3, 2, 23, 59, 59, 999_000, tzinfo=UTC)


def reached(story: Story, *steps: str, **options: str) -> list[int]:
    """How many people took each step."""
    return story.ask("funnel", "people", step=steps, window=f"{WINDOW_S}s", **options)


class TestFunnel:
    def test_counts_people_by_how_far_they_came(self, story: Story) -> None:
        story.events("whole", ("A", 0), ("B", 10), ("C", 20))
        story.events("part", ("A", 0), ("B", 10))
        story.events("start", ("A", 0))
        story.events("never", ("B", 0), ("C", 1))
        rows = story.ask("funnel", step=ABC, window="60s")
        assert [(row["step"], row["event"], row["people"]) for row in rows] == [(1, "A", 3), (2, "B", 2), (3, "C", 1)]
        assert [row["percent_of_first"] for row in rows] == [100, 66.67, 33.33]
        assert [row["percent_of_previous"] for row in rows] == [100, 66.67, 50]
        assert [row["median_s"] for row in rows] == [0, 10, 20]

    def test_steps_out_of_order_do_not_count_and_others_between_do_no_harm(self, story: Story) -> None:
        story.events("backwards", ("C", 0), ("B", 1), ("A", 2))
        story.events("with others", ("A", 0), ("other", 1), ("C", 2), ("B", 3), ("C", 4))
        assert reached(story, *ABC) == [2, 1, 1]

    def test_a_step_again_is_not_the_next_step(self, story: Story) -> None:
        story.events("again", ("A", 0), ("A", 1), ("A", 2), ("C", 3))
        assert reached(story, *ABC) == [1, 0, 0]

    def test_the_window_ends_with_its_last_millisecond(self, story: Story) -> None:
        story.events("just in", ("A", 0), ("B", WINDOW_S))
        story.events("just out", ("A", 0), ("B", WINDOW_S + 0.001))
        assert reached(story, "A", "B") == [2, 1]

    def test_a_later_start_counts_when_it_leads_further(self, story: Story) -> None:
        story.events("late", ("A", 0), ("A", WINDOW_S), ("B", WINDOW_S + 1))
        # The first start came to B; the second, which would be in time for C, did not.
        story.events("two starts", ("A", 0), ("B", 50), ("A", 55), ("C", WINDOW_S + 1))
        assert reached(story, *ABC) == [2, 2, 0]
        assert story.ask("funnel", "median_s", step=("A", "B"), window="60s")[1] == (1 + 50) / 2

    def test_events_of_one_millisecond_stand_in_the_order_of_their_acceptance(self, story: Story) -> None:
        story.events("in order", ("A", 0), ("B", 0), ("C", 0))
        story.events("other order", ("B", 0), ("A", 0), ("C", 0))
        assert reached(story, *ABC) == [2, 1, 1]

    def test_one_event_is_one_step(self, story: Story) -> None:
        story.events("once", ("A", 0))
        story.events("twice", ("A", 0), ("A", 0))
        assert reached(story, "A", "A") == [2, 1]

    def test_the_range_bounds_the_first_step_alone(self, story: Story) -> None:
        day = timedelta(days=1)
        for visitor, first in {"early": FIRST - timedelta(milliseconds=1), "first": FIRST, "last": LAST}.items():
            story.event(visitor, "A", first)
            story.event(visitor, "B", first + day)
        story.event("late", "A", LAST + timedelta(milliseconds=1))
        story.event("late", "B", LAST + day)
        assert story.ask("funnel", "people", step=("A", "B"), window="24h", **BORDERS) == [2, 2]

    def test_a_step_can_be_a_page_and_can_have_filters(self, story: Story) -> None:
        story.events("pro", ("page:/pricing", 0))
        story.event("pro", "Signed Up", second(1), properties={"plan": "pro", "seats": 5})
        story.events("free", ("page:/pricing", 0), ("/pricing", 0))
        story.event("free", "Signed Up", second(1), properties={"plan": "free", "seats": 1})
        assert reached(story, "page:/pricing", "Signed Up") == [2, 2]
        assert reached(story, "page:/pricing", "Signed Up where property:plan=pro and property:seats>=5") == [2, 1]
        assert reached(story, "page:/pricing", "Signed Up where property:plan=pro and property:seats>5") == [2, 0]

    def test_visitors_of_one_user_are_one_person_and_can_be_counted_apart(self, story: Story) -> None:
        story.events("phone", ("A", 0))
        story.event("laptop", "B", second(1), user_id="ann")
        story.link("phone", "ann")
        assert reached(story, "A", "B") == [1, 1]
        assert reached(story, "A", "B", people="visitors") == [1, 0]

    def test_nobody_is_a_row_of_noughts(self, story: Story) -> None:
        assert reached(story, *ABC) == [0, 0, 0]


class TestRobots:
    @pytest.mark.parametrize(
        ("query", "options"),
        [
            ("funnel", {"step": ["A"]}),
            ("retention", {}),
            ("history", {"person": "robot"}),
            ("pages", {}),
            ("live", {"end": "2026-03-02T12:01", "minutes": "5"}),
            ("trends", {"every": "month"}),
            ("paths", {"after": "A"}),
            ("sessions", {}),
            ("sources", {}),
            ("chat-funnel", {}),
        ],
    )
    def test_are_left_out_unless_asked_for(self, story: Story, query: str, options: dict[str, str]) -> None:
        for what in ("A", "page:/"):
            story.event("robot", what, second(0), is_bot=True)
        story.session("robot", second(0), is_bot=True)

        def counted(*, robots: bool) -> int:
            rows = story.ask(query, **options, robots=robots)
            numbers = ("people", "cohort_people", "views", "events", "times", "sessions")
            return sum(next((int(row[name]) for name in numbers if name in row), 1) for row in rows)

        assert counted(robots=False) == 0
        assert counted(robots=True) > 0


class TestRetention:
    def test_counts_who_came_back_in_which_week(self, story: Story) -> None:
        day_s = 86_400
        story.events("always", ("A", 0), ("A", 7 * day_s), ("A", 14 * day_s))
        story.events("pauses", ("A", 6 * day_s), ("A", 14 * day_s))  # the Sunday of the first week
        story.events("later", ("A", 7 * day_s))
        story.events("twice", ("A", 0), ("A", 1))
        rows = story.ask(
            "retention", "cohort", "number", "people_back", "percent", begin="2026-03-02", end="2026-03-22"
        )
        assert rows == [
            ("2026-03-02", 0, 3, 100),
            ("2026-03-02", 1, 1, 33.33),
            ("2026-03-02", 2, 2, 66.67),
            ("2026-03-09", 0, 1, 100),
            ("2026-03-09", 1, 0, 0),
        ]

    def test_a_day_begins_at_the_zone_s_midnight(self, story: Story) -> None:
        midnight = datetime(2026, 3, 2, 18, 30, tzinfo=UTC)  # in Kolkata
        story.event("one", "A", midnight - timedelta(milliseconds=1))
        story.event("one", "A", midnight)
        story.event("other", "A", midnight)
        options = {"every": "day", "begin": "2026-03-02", "end": "2026-03-03"}
        asked = ("retention", "cohort", "number", "people_back")
        assert story.ask(*asked, **options, tz="Asia/Kolkata") == [
            ("2026-03-02", 0, 1),
            ("2026-03-02", 1, 1),
            ("2026-03-03", 0, 1),
        ]
        assert story.ask(*asked, **options) == [("2026-03-02", 0, 2), ("2026-03-02", 1, 0)]

    def test_what_begins_and_what_is_back_can_be_named(self, story: Story) -> None:
        day_s = 86_400
        story.events("buys", ("look", 0), ("Signed Up", day_s), ("buy", 2 * day_s))
        story.events("looks", ("Signed Up", day_s), ("look", 2 * day_s))
        story.events("buys before", ("buy", 0), ("Signed Up", day_s))
        options = {"every": "day", "start": "Signed Up", "return_": "buy", "begin": "2026-03-02", "end": "2026-03-04"}
        rows = story.ask("retention", "cohort", "number", "people_back", **options)
        assert rows == [("2026-03-03", 0, 3), ("2026-03-03", 1, 1)]

    def test_months_differ_in_length(self, story: Story) -> None:
        for at in (datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 2, 28, 23, 59, tzinfo=UTC)):
            story.event("one", "A", at)
        rows = story.ask("retention", "cohort", "number", "people_back", every="month", begin="2026-01-01")
        assert rows == [("2026-01-01", 0, 1), ("2026-01-01", 1, 1), ("2026-01-01", 2, 0)]


class TestHistory:
    def test_shows_a_user_s_events_of_all_their_visitors_newest_first(self, story: Story) -> None:
        story.events("phone", ("page:/", 0), ("A", 1), ("B", 1))
        story.event("laptop", "C", second(2), user_id="ann")
        story.events("stranger", ("A", 1))
        story.link("phone", "ann")
        asked = ("history", "event", "page", "visitor", "person")
        assert story.ask(*asked, person="ann") == [
            ("C", "", "laptop", "ann"),
            ("B", "", "phone", "ann"),
            ("A", "", "phone", "ann"),
            ("", "/", "phone", "ann"),
        ]
        assert story.ask("history", "event", person="ann", people="visitors") == ["C"]
        assert story.ask(*asked, person="phone") == story.ask(*asked, person="ann")
        assert story.ask("history", "event", person="phone", limit="2") == ["C", "B"]
        assert story.ask("history", "event", person="phone", people="visitors", limit="2") == ["B", "A"]
        assert story.ask("history", "person", person="stranger") == ["stranger"]
        assert story.ask("history", "event", person="nobody") == []

    def test_of_a_user_that_was_aliased_or_never_linked_is_theirs(self, story: Story) -> None:
        story.event("server", "A", second(0), user_id="old")
        story.event("server", "B", second(1), user_id="new")
        story.event("other", "C", second(2), user_id="alone")
        story.link("old", "new", source="alias")
        for person in ("old", "new"):
            assert story.ask("history", "event", "person", person=person) == [("B", "new"), ("A", "new")]
        assert story.ask("history", "event", "person", person="alone") == [("C", "alone")]

    def test_of_a_visitor_that_several_people_share_is_asked_back(self, story: Story) -> None:
        story.events("kiosk", ("A", 0))
        for user in ("ann", "bob"):
            story.link("kiosk", user)
        with pytest.raises(QuestionError, match=r"'kiosk' is linked to several people: ann, bob; .*--people visitors"):
            story.ask("history", person="kiosk")
        assert story.ask("history", "event", person="kiosk", people="visitors") == ["A"]

    def test_shows_the_zone_s_time(self, story: Story) -> None:
        story.event("one", "A", datetime(2026, 3, 2, 18, 30, tzinfo=UTC))
        assert story.ask("history", "time", person="one", tz="Asia/Kolkata") == ["2026-03-03 00:00:00.000"]


def test_a_history_of_a_visitor_or_user_reads_a_few_granules(story: Story) -> None:
    story.fill(FILLED)
    story.event("ann", "A", second(0), user_id="ann@example.com")
    story.link("ann", "ann@example.com")
    for person, people in product(("ann", "ann@example.com", "nobody"), ("users", "visitors")):
        asked = story.statement("history", person=person, people=people).pasted()
        assert story.rows_read(f"{asked} SETTINGS use_skip_indexes_on_data_read = 0") < FILLED / 2
    assert story.rows_read(story.statement("pages").pasted()) > FILLED


class TestSessions:
    def test_are_read_by_their_newest_version(self, story: Story) -> None:
        kept = story.session("ann", second(0), event_count=1)
        story.session("ann", second(0), session_id=kept, event_count=7, version=2, converted=True)
        gone = story.session("bob", second(1))
        story.session("bob", second(1), session_id=gone, version=2, is_deleted=1)
        story.session("cleo", second(2), event_count=3)
        assert story.ask("sessions", "person", "events", "converted") == [("cleo", 3, False), ("ann", 7, True)]
        assert story.ask("sources", "value", "sessions", "conversions") == [("(direct)", 2, 1)]
        assert story.ask("sessions", "events", person="ann") == [7]
        assert story.ask("sessions", "person", where=["events>=3", "events<7"]) == ["cleo"]

    def test_are_of_the_user_that_the_visitor_is_linked_to(self, story: Story) -> None:
        story.session("phone", second(0), utm_source="news", converted=True)
        story.session("laptop", second(1), utm_source="news", user_id="ann")
        story.session("stranger", second(2))
        story.link("phone", "ann")
        assert story.ask("sessions", "person") == ["stranger", "ann", "ann"]
        assert story.ask("sessions", "person", people="visitors") == ["stranger", "laptop", "phone"]
        for person in ("ann", "phone"):
            assert story.ask("sessions", "person", person=person) == ["ann", "ann"]
        assert story.ask("sources", "people", "people_converted", where=["source=news"]) == [(1, 1)]
        assert story.ask("sources", "people", where=["source=news"], people="visitors") == [2]

    def test_belong_to_the_range_that_they_begin_in(self, story: Story) -> None:
        for visitor, at in {
            "before": FIRST - timedelta(milliseconds=1),
            "first": FIRST,
            "last": LAST,
            "after": LAST + timedelta(milliseconds=1),
        }.items():
            story.session(visitor, at)
        assert story.ask("sessions", "person", **BORDERS) == ["last", "first"]


class TestSources:
    def test_a_source_is_the_campaign_s_else_the_site_s_else_direct(self, story: Story) -> None:
        news = {"utm_source": "news", "referrer": "https://www.example.com/x"}
        story.session("ann", second(0), converted=True, conversion_event="Order", **news)
        story.session("ann", second(1), converted=True, conversion_event="Trial", **news)
        story.session("bob", second(2), **news)
        story.session("cleo", second(3), referrer="https://www.example.com/x")
        story.session("dora", second(4))
        asked = ("sources", "value", "sessions", "people", "conversions", "people_converted", "percent")
        assert story.ask(*asked) == [
            ("news", 3, 2, 2, 1, 66.67),
            ("(direct)", 1, 1, 0, 0, 0),
            ("example.com", 1, 1, 0, 0, 0),
        ]
        assert story.ask("sources", "conversions", conversion="Trial", where=["source=news"]) == [1]
        assert story.ask("sources", "value", by="referrer", where=["source=news"]) == ["example.com"]


class TestPages:
    def test_counts_page_views_and_no_other_event(self, story: Story) -> None:
        story.events("ann", ("page:/", 0), ("page:/", 1), ("page:/b", 2))
        story.events("bob", ("page:/", 0))
        story.event("bob", "A", second(1), page_path="/b")
        assert story.ask("pages", "page", "views", "people", "percent") == [("/", 3, 2, 75), ("/b", 1, 1, 25)]


class TestLive:
    def test_looks_back_from_now(self, story: Story) -> None:
        now = second(3_600)
        for visitor, seconds in {"now": 0, "at five": 300, "beyond five": 301, "at thirty": 1_800}.items():
            story.event(visitor, "A", now - timedelta(seconds=seconds))
        story.event("beyond thirty", "page:/", now - timedelta(milliseconds=1_800_001))
        story.event("five minutes ago", "page:/", now - timedelta(minutes=5))
        rows = story.ask("live", "minutes", "people", "events", "page_views", end="now", now=now)
        # Up to now, without now itself: the future begins there.
        assert rows == [(5, 2, 2, 1), (30, 4, 4, 1)]

    def test_nobody_is_a_row_of_noughts(self, story: Story) -> None:
        assert story.ask("live", "minutes", "people", end="now", minutes="1,60") == [(1, 0), (60, 0)]


class TestPaths:
    def test_shows_what_came_after(self, story: Story) -> None:
        story.events("ann", ("A", 0), ("B", 1), ("page:/c", 2), ("D", 3))
        story.events("bob", ("A", 0), ("B", 1))
        story.events("cleo", ("A", 0), ("A", 1))
        assert story.ask("paths", "path", "times", "people", after="A", depth="2") == [
            ("A → (end)", 1, 1),
            ("A → A → (end)", 1, 1),
            ("A → B → (end)", 1, 1),
            ("A → B → page:/c", 1, 1),
        ]

    def test_shows_what_came_before(self, story: Story) -> None:
        story.events("ann", ("page:/", 0), ("A", 1), ("buy", 2), ("B", 3))
        story.events("bob", ("A", 1), ("buy", 2))
        assert story.ask("paths", "path", "times", before="buy", depth="2") == [
            ("(start) → A → buy", 1),
            ("page:/ → A → buy", 1),
        ]
        assert story.ask("paths", "path", "times", before="buy", depth="1") == [("A → buy", 2)]

    def test_a_longer_pause_ends_it(self, story: Story) -> None:
        story.events("ann", ("A", 0), ("B", 60), ("C", 120.001))
        assert story.ask("paths", "path", after="A", within="60s") == ["A → B → (end)"]
        assert story.ask("paths", "path", before="C", within="60s") == ["(start) → C"]

    def test_events_of_one_millisecond_stand_in_the_order_of_their_acceptance(self, story: Story) -> None:
        story.events("ann", ("A", 0), ("C", 0), ("B", 0))
        assert story.ask("paths", "path", after="A", depth="2") == ["A → C → B"]
        assert story.ask("paths", "path", before="B", depth="2") == ["A → C → B"]

    def test_the_range_bounds_the_event_and_not_its_followers(self, story: Story) -> None:
        ms = timedelta(milliseconds=1)
        story.event("early", "A", FIRST - ms)
        story.event("early", "B", FIRST)
        story.event("late", "A", LAST)
        story.event("late", "B", LAST + ms)
        story.event("too late", "A", LAST + ms)
        assert story.ask("paths", "path", "people", after="A", depth="1", **BORDERS) == [("A → B", 1)]
        assert story.ask("paths", "path", "people", before="B", depth="1", **BORDERS) == [("A → B", 1)]


def test_trends_without_an_event_has_a_row_for_each_period_and_none_by_a_dimension(story: Story) -> None:
    days = {"begin": "2026-03-01", "end": "2026-03-02"}
    expected = [("2026-03-01", "(all)", 0, 0), ("2026-03-02", "(all)", 0, 0)]
    assert story.ask("trends", "period", "value", "events", "people", **days) == expected
    assert story.ask("trends", by="country", **days) == []
    story.event("ann", "A", second(0))
    assert story.ask("trends", "period", "events", "people", **days) == [("2026-03-01", 0, 0), ("2026-03-02", 1, 1)]


def test_the_first_and_last_days_that_can_be_asked_are_named_right(story: Story) -> None:
    for tz, first in (("UTC", "1970-01-01"), ("Asia/Kolkata", "1970-01-02"), ("America/New_York", "1970-01-01")):
        for every in ("day", "month"):
            found = story.ask("trends", "period", begin=first, end=first, tz=tz, every=every)
            assert found == [first if every == "day" else "1970-01-01"]
    for every, named in (("day", "2148-12-31"), ("week", "2148-12-30"), ("month", "2148-12-01")):
        last = {"begin": "2148-12-31", "end": "2148-12-31", "every": every}
        assert story.ask("trends", "period", **last) == [named]


def test_a_range_that_ends_after_2106_has_all_its_days(story: Story) -> None:
    story.event("ann", "A", second(0))
    asked = {"begin": "2026-03-01", "end": "2110-03-31", "every": "day"}
    assert story.ask("retention", "number", **asked) == list(range((date(2110, 3, 31) - date(2026, 3, 2)).days + 1))


def test_every_zone_that_can_be_named_is_one_of_the_server_s(story: Story) -> None:
    known = {row["time_zone"] for row in story.run("SELECT time_zone FROM system.time_zones")}
    assert zones() - known == set()
