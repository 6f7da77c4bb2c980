"""The answers about WhatsApp conversations to planted stories, worked out by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from sinks.query.errors import QuestionError
from tests.dashboards.macros import Range, expand_sql
from tests.dashboards.reading import queries
from tests.sinks.query.stories import Story, second

MS = timedelta(milliseconds=1)
DAY = {"begin": "2026-03-02", "end": "2026-03-02"}


def answered(queued: float, first: float, agent: float | None = None, **more: Any) -> dict[str, Any]:
    """When the wait for an agent began, when a bot or agent answered first, and an agent, in seconds of the stories."""
    by_agent = second(first if agent is None else agent)
    times = {"queued_at": second(queued), "first_response_at": second(first), "first_agent_response_at": by_agent}
    return times | {"last_activity_at": by_agent, "current_state": "agent_active"} | more


def ended(number: float, reason: str = "ended") -> dict[str, Any]:
    return {"current_state": "resolved", "resolved_at": second(number), "resolved_reason": reason}


class TestConversations:
    def test_shows_how_soon_each_was_answered_and_the_agent_from_the_queue(self, story: Story) -> None:
        story.conversation("bot first", second(0), **answered(60, 1, 90.5, handoff_count=1), bot_message_count=2)
        story.conversation("agent", second(1), **answered(1, 31) | ended(120))
        story.conversation("nobody", second(2))
        asked = ("customer", "state", "first_response_s", "agent_response_s", "reason", "bot_messages", "handoffs")
        assert story.ask("conversations", *asked) == [
            ("nobody", "queued", None, None, "", 0, 0),
            ("agent", "resolved", 30, 30, "ended", 0, 0),
            ("bot first", "agent_active", 1, 30.5, "", 2, 1),
        ]
        assert story.ask("conversations", "customer", where=["state!=queued", "handoffs<1"]) == ["agent"]
        assert story.ask("conversations", "customer", limit="1") == ["nobody"]

    def test_belong_to_the_day_of_the_zone_that_they_begin_in(self, story: Story) -> None:
        midnight = datetime(2026, 3, 1, 18, 30, tzinfo=UTC)  # in Kolkata
        for customer, at in {"before": -MS, "first": 0 * MS, "last": timedelta(days=1) - MS}.items():
            story.conversation(customer, midnight + at)
        story.conversation("after", midnight + timedelta(days=1))
        assert story.ask("conversations", "customer", **DAY, tz="Asia/Kolkata") == ["last", "first"]

    def test_of_other_projects_are_not_shown(self, story: Story) -> None:
        story.conversation("other", second(0), project_id="another")
        story.conversation("other", second(0), tenant_id="another")
        for query in ("conversations", "chat-responses", "chat-sources"):
            assert story.ask(query) == []
        assert story.ask("chat-queue", "waiting", **DAY) == [0] * 24

    def test_a_dimension_that_conversations_lack_names_those_they_have(self, story: Story) -> None:
        with pytest.raises(QuestionError, match="no dimension 'page' There are ad, customer, entry, handoffs"):
            story.ask("conversations", where=["page=/"])
        with pytest.raises(QuestionError, match="conversations have no properties"):
            story.ask("chat-responses", by="property:plan")


def test_conversations_are_read_by_their_newest_version_as_they_are_now(story: Story) -> None:
    kept = story.conversation("kept", second(0))
    story.conversation("kept", second(0), conversation_id=kept, version=2, message_count=7)
    gone = story.conversation("gone", second(0))
    story.conversation("gone", second(0), conversation_id=gone, version=2, is_deleted=1)
    story.conversation("silent", second(1), inactivity_seconds=60)
    asked = ("conversations", "customer", "state", "resolved", "reason", "messages")
    assert story.ask(*asked, tz="Asia/Kolkata") == [
        ("silent", "resolved", "2026-03-02 17:31:01.000", "inactivity", 0),
        ("kept", "queued", None, "", 7),
    ]


class TestResponses:
    def test_are_by_hour_of_the_zone_and_by_entry(self, story: Story) -> None:
        for seconds in (10, 20, 40):
            story.conversation("web", second(0), **answered(5, seconds), entry_source="handshake")
        story.conversation("web", second(3599.999), entry_source="handshake")
        story.conversation("web", second(3600), **answered(3600, 3601), entry_source="handshake")
        story.conversation("day", second(86_400), **answered(86_430, 86_401, 86_490))
        asked = ("chat-responses", "hour", "value", "conversations", "answered", "first_p50_s", "first_p90_s")
        assert story.ask(*asked) == [
            (12, "handshake", 4, 3, 20, 36),
            (12, "organic", 1, 1, 1, 1),
            (13, "handshake", 1, 1, 1, 1),
        ]
        agents = ("chat-responses", "hour", "value", "agent_answered", "agent_p50_s", "agent_p90_s")
        assert story.ask(*agents) == [
            (12, "handshake", 3, 15, 31),
            (12, "organic", 1, 60, 60),
            (13, "handshake", 1, 1, 1),
        ]
        # Half past five: the hours are cut elsewhere.
        found = story.ask(*asked[:4], tz="Asia/Kolkata")
        assert found == [(17, "handshake", 3), (17, "organic", 1), (18, "handshake", 2)]

    def test_a_bot_alone_is_a_first_response_and_no_agent_s_and_nobody_is_no_number(self, story: Story) -> None:
        story.conversation("bot", second(0), first_response_at=second(3), business_phone_id="1")
        story.conversation("nobody", second(0), business_phone_id="2")
        asked = ("value", "first_p50_s", "agent_answered", "agent_p50_s")
        assert story.ask("chat-responses", *asked, by="number") == [("1", 3, 0, None), ("2", None, 0, None)]


class TestSources:
    def test_are_those_of_the_session_that_a_token_ties_else_the_ad_else_organic(self, story: Story) -> None:
        news = story.session("ann", second(-60), utm_source="news", utm_campaign="spring")
        site = story.session("bob", second(-60), referrer="https://www.example.com/x")
        plain = story.session("cleo", second(-40 * 86_400))
        gone = story.session("dora", second(-60))
        story.session("dora", second(-60), session_id=gone, version=2, is_deleted=1)
        story.conversation("ann", second(0), **answered(0, 1) | ended(9), linked_session_id=news)
        story.conversation("ann", second(10), linked_session_id=news)
        for session in (site, plain, gone, "no uuid"):
            story.conversation("other", second(0), entry_source="handshake", linked_session_id=session)
        story.conversation("clicked", second(0), entry_source="ctwa", ad_id="500")
        story.conversation("wrote", second(0))
        asked = ("chat-sources", "value", "conversations", "customers", "agent_answered", "resolved", "percent")
        assert story.ask(*asked) == [
            ("(unknown session)", 2, 1, 0, 0, 25),
            ("news", 2, 1, 1, 1, 25),
            ("(ad)", 1, 1, 0, 0, 12.5),
            ("(direct)", 1, 1, 0, 0, 12.5),
            ("(organic)", 1, 1, 0, 0, 12.5),
            ("example.com", 1, 1, 0, 0, 12.5),
        ]
        assert story.ask("chat-sources", "value", by="campaign", where=["entry=ctwa"]) == ["500"]
        assert story.ask("chat-sources", "value", "conversations", by="campaign", where=["customer=ann"]) == [
            ("spring", 2)
        ]


class TestFunnel:
    def visit(self, story: Story, session: str, *, minted: bool = True) -> None:
        story.events(session, ("page:/pricing", 0), *([("WhatsApp Handshake Created", 5.0)] if minted else []))

    def test_counts_sessions_by_how_far_they_came(self, story: Story) -> None:
        self.visit(story, "left", minted=False)
        for session in ("minted", "begun", "bot", "agent", "whole"):
            self.visit(story, session)
        story.conversation("1", second(9), linked_session_id="begun")
        story.conversation("2", second(9), linked_session_id="bot", **ended(20))
        story.conversation("3", second(9), linked_session_id="agent", **answered(9, 12))
        story.conversation("4", second(9), linked_session_id="whole", **answered(9, 12) | ended(20))
        story.conversation("4", second(900), linked_session_id="whole")  # another one, which came less far
        story.events("no page", ("WhatsApp Handshake Created", 0))
        story.conversation("5", second(9), linked_session_id="no page", **answered(9, 12))
        rows = story.ask("chat-funnel")
        assert [(row["what"], row["sessions"]) for row in rows] == [
            ("page viewed", 6),
            ("handshake created", 5),
            ("chat begun", 4),
            ("agent answered", 2),
            ("resolved", 1),
        ]
        assert [row["percent_of_first"] for row in rows] == [100, 83.33, 66.67, 33.33, 16.67]
        assert [row["percent_of_previous"] for row in rows] == [100, 83.33, 80, 50, 50]

    def test_the_range_bounds_the_visit_and_not_the_chat(self, story: Story) -> None:
        self.visit(story, "late")
        story.conversation("1", second(86_400), linked_session_id="late", **answered(86_400, 86_401))
        assert story.ask("chat-funnel", "sessions", **DAY) == [1, 1, 1, 1, 0]
        assert story.ask("chat-funnel", "sessions", begin="2026-03-03", end="2026-03-04") == [0] * 5

    def test_the_page_can_be_named_and_what_has_no_session_is_not_counted(self, story: Story) -> None:
        self.visit(story, "one")
        story.event("two", "page:/", second(0))
        story.event("server", "page:/pricing", second(0), session_id="")
        assert story.ask("chat-funnel", "sessions") == [2, 1, 0, 0, 0]
        assert story.ask("chat-funnel", "sessions", page="page:/pricing") == [1, 1, 0, 0, 0]
        assert story.ask("chat-funnel", "sessions", page=["page:/", "page:/pricing"]) == [2, 1, 0, 0, 0]


class TestQueue:
    ASKED = ("chat-queue", "waiting", "longest", "began", "answered", "left_unanswered")
    RANGE: Final = {"begin": "2026-03-02T12:00", "end": "2026-03-02T15:00", "tz": "UTC"}

    def test_counts_who_waits_at_each_hours_end_and_at_most(self, story: Story) -> None:
        story.conversation("before", second(-600), **answered(-600, 60))
        story.conversation("short", second(60), **answered(60, 120))  # begins as the one before it ends
        story.conversation("handed over", second(0), **answered(100, 1, 4000, handoff_count=1))
        story.conversation("waits", second(200))
        story.conversation("gave up", second(300), **ended(7200, "inactivity"))
        assert story.ask(*self.ASKED, **self.RANGE) == [(3, 3, 4, 2, 0), (2, 3, 0, 1, 0), (1, 2, 0, 0, 1)]
        assert story.ask("chat-queue", "waiting", **self.RANGE, where=["customer=waits"]) == [1, 1, 1]

    def test_what_a_bot_has_waits_for_nobody_and_what_it_handed_over_since_then(self, story: Story) -> None:
        story.conversation("bot", second(0), current_state="bot_active", bot_message_count=1)
        story.conversation("bot's", second(0), bot_message_count=1, **ended(60))
        story.conversation("handed", second(0), bot_message_count=1, bot_seconds=3600, handoff_count=1)
        assert story.ask(*self.ASKED, **self.RANGE) == [(0, 0, 0, 0, 0), (1, 1, 1, 0, 0), (1, 1, 0, 0, 0)]

    def test_the_ends_of_the_range_and_the_zones_days(self, story: Story) -> None:
        midnight = datetime(2026, 3, 2, 18, 30, tzinfo=UTC)  # in Kolkata
        story.conversation("first", midnight - MS)
        story.conversation("second", midnight)
        story.conversation("after", midnight + timedelta(days=1))
        days = {"begin": "2026-03-02", "end": "2026-03-03", "every": "day", "tz": "Asia/Kolkata"}
        found = story.ask("chat-queue", "period", "waiting", "began", **days)
        assert found == [("2026-03-02", 1, 1), ("2026-03-03", 2, 1)]
        later = days | {"begin": "2026-03-03"}
        assert story.ask("chat-queue", "period", "waiting", "longest", "began", **later) == [("2026-03-03", 2, 2, 1)]

    def test_an_hour_that_comes_twice_is_two(self, story: Story) -> None:
        autumn = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
        story.conversation("one", autumn)
        asked = {"begin": "2026-10-25T02:00+02:00", "end": "2026-10-25T02:00+00:00", "tz": "Europe/Berlin"}
        assert story.ask("chat-queue", "period", "began", **asked) == [
            ("2026-10-25 02:00 +0200", 1),
            ("2026-10-25 02:00 +0100", 0),
        ]


class TestDashboard:
    """The panels ask as the pack does; their times, tenants and projects are Grafana's."""

    def panel(self, story: Story, title: str) -> list[Any]:
        chosen = {"tenant": (story.project.tenant_id,), "project": (story.project.project_id,)}
        noon = int(second(0).timestamp())
        (text,) = [query.text for query in queries() if str(query) == f"{title} A"]
        story.write()
        return [tuple(row.values()) for row in story.run(expand_sql(text, Range(noon, noon + 10_800, 30, chosen)))]

    def test_counts_who_waits_whenever_that_changes(self, story: Story) -> None:
        story.conversation("before", second(-600), **answered(-600, 60))
        story.conversation("waits", second(200))
        story.conversation("gave up", second(300), **ended(7200, "inactivity"))
        story.conversation("bot's", second(0), current_state="bot_active", bot_message_count=1)
        assert [waiting for _, waiting in self.panel(story, "Waiting for an agent")] == [0, 1, 2, 1]

    def test_has_the_pack_s_funnel_sources_and_response_times(self, story: Story) -> None:
        session = story.session("ann", second(0), utm_source="news")
        story.event("ann", "page:/", second(0), session_id=session)
        story.event("ann", "WhatsApp Handshake Created", second(1), session_id=session)
        story.events("bob", ("page:/", 0))
        linked = {"linked_session_id": session, "entry_source": "handshake"}
        story.conversation("1", second(9), **answered(10, 10, 20), **linked)
        story.conversation("2", second(9), **answered(9, 14), entry_source="ctwa")
        funnel = story.ask("chat-funnel", "what", "sessions")
        assert funnel == list(zip(dict(funnel), [2, 1, 1, 1, 0], strict=True))
        assert self.panel(story, "Web to chat") == funnel
        sources = story.ask("chat-sources", "value", "conversations", "customers", "agent_answered", "resolved")
        assert self.panel(story, "Sources of conversations") == sources == [("(ad)", 1, 1, 1, 0), ("news", 1, 1, 1, 0)]
        assert [row[1:] for row in self.panel(story, "First response")] == [(3, 4.6)]
        assert [row[1:] for row in self.panel(story, "Agent response")] == [(7.5, 9.5)]
