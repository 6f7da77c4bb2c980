"""Planted stories: a project's events and sessions, written by hand, and questions about them."""

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from clickhouse_driver import Client

from docker.local.clickhouse import ClickHouseServer
from schemas.apply.tables import apply_tables, clickhouse
from schemas.settings import Settings
from sinks.database import open_answers
from sinks.query.answers import Form
from sinks.query.ask import Asked, Project, question
from sinks.query.catalog import queries
from sinks.query.persons import find_person
from sinks.query.projects import properties_with_columns
from sinks.query.statement import Statement

START: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
_EVENT: Final = (
    "event_id", "message_id", "tenant_id", "project_id", "event_name", "event_type", "timestamp", "received_at",
    "anonymous_id", "user_id", "session_id", "page_path", "country_code", "properties", "is_bot",
)  # fmt: skip
_SESSION: Final = (
    "session_id", "tenant_id", "project_id", "anonymous_id", "user_id", "started_at", "ended_at", "referrer",
    "utm_source", "converted", "conversion_event", "event_count", "entry_page", "version", "is_deleted", "is_bot",
    "utm_campaign",
)  # fmt: skip


def second(number: float) -> datetime:
    """So many seconds after the beginning of the stories."""
    return START + timedelta(seconds=number)


def _event_id(number: int) -> uuid.UUID:
    """Rising as UUIDs do, and falling in the order in which ClickHouse sorts them: by their second halves."""
    return uuid.UUID(f"018f0000-{number >> 12:04x}-7{number & 0xFFF:03x}-8000-{0xFFFF_FFFF - number:012x}")


class Story:
    """One project, of a tenant of its own. Events are written when something is asked, the last one first."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self.settings = settings
        self._answers = open_answers(settings, 60.0)
        self._events: list[dict[str, Any]] = []
        self.project = Project(str(uuid.uuid4()), str(uuid.uuid4()))
        self.name = f"story {self.project.project_id[:8]}"
        client.execute(
            "INSERT INTO projects (project_id, tenant_id, name, write_key, updated_at) VALUES",
            [(self.project.project_id, self.project.tenant_id, self.name, self.name, START)],
        )
        self._told = 0

    def event(self, visitor: str, what: str, at: datetime, **columns: Any) -> None:
        """An event, accepted after those told before; what: its name, or page:/path. properties: as a dictionary."""
        self._told += 1
        columns["properties"] = json.dumps(columns.get("properties", {}))
        page = what.startswith("page:")
        event = dict.fromkeys(_EVENT, "") | {
            "event_id": _event_id(self._told),
            "message_id": uuid.uuid4(),
            "tenant_id": self.project.tenant_id,
            "project_id": self.project.project_id,
            "event_name": "" if page else what,
            "event_type": "page" if page else "track",
            "page_path": what.removeprefix("page:") if page else "",
            "timestamp": at,
            "received_at": at,
            "anonymous_id": visitor,
            "user_id": None,
            "session_id": visitor,
            "is_bot": False,
        }
        self._events.append(event | columns)

    def events(self, visitor: str, *told: tuple[str, float]) -> None:
        """Several, each with its second."""
        for what, number in told:
            self.event(visitor, what, second(number))

    def session(self, visitor: str, at: datetime, **columns: Any) -> str:
        """A version of a session; its id."""
        session = dict.fromkeys(_SESSION, "") | {
            "session_id": str(uuid.uuid4()),
            "tenant_id": self.project.tenant_id,
            "project_id": self.project.project_id,
            "anonymous_id": visitor,
            "user_id": None,
            "started_at": at,
            "ended_at": at,
            "utm_source": None,
            "converted": False,
            "conversion_event": None,
            "event_count": 1,
            "version": 1,
            "is_deleted": 0,
            "is_bot": False,
            "utm_campaign": None,
        }
        session |= columns
        self._client.execute(f"INSERT INTO sessions ({', '.join(_SESSION)}) VALUES", [tuple(session.values())])
        return str(session["session_id"])

    def conversation(self, customer: str, at: datetime, **columns: Any) -> str:
        """A version of a conversation; its id. It is queued, and nobody has said more, unless told."""
        conversation = {
            "conversation_id": str(uuid.uuid4()),
            "tenant_id": self.project.tenant_id,
            "project_id": self.project.project_id,
            "whatsapp_phone_id": customer,
            "current_state": "queued",
            "started_at": at,
            "last_activity_at": at,
            "inactivity_seconds": 4_000_000_000,
            "entry_source": "organic",
            "version": 1,
        } | columns
        names = ", ".join(conversation)
        self._client.execute(f"INSERT INTO conversations ({names}) VALUES", [tuple(conversation.values())])
        return str(conversation["conversation_id"])

    def link(self, visitor: str, user: str, source: str = "identify") -> None:
        """The visitor is that user."""
        self._client.execute(
            "INSERT INTO identities (tenant_id, anonymous_id, user_id, linked_at, link_source, traits, is_deleted, "
            "first_linked_at) VALUES",
            [(self.project.tenant_id, visitor, user, START, source, "{}", 0, START)],
        )

    def statement(
        self,
        query: str,
        *,
        begin: str = "2026-03-01",
        end: str = "2026-03-31",
        now: datetime = START,
        tz: str = "UTC",
        people: str = "users",
        where: Sequence[str] = (),
        robots: bool = False,
        **own: str | Sequence[str],
    ) -> Statement:
        """What would be asked. own: the query's own options; after an underscore if Python has the word."""
        given = {name.rstrip("_"): [value] if isinstance(value, str) else list(value) for name, value in own.items()}
        asked = Asked(begin, end, tz, people, where, robots, given)
        user = find_person(self._answers, queries()[query], asked, self.project)
        source = question(queries()[query], asked, self.project, now, user=user).source
        columns = properties_with_columns(self._answers, self.project, source)
        return question(queries()[query], asked, self.project, now, columns, user).statement

    def ask(self, query: str, *columns: str, **options: Any) -> list[Any]:
        """The answer's rows: those columns as a tuple, one column alone as it is, all as a dictionary."""
        self.write()
        rows = self._rows(self.statement(query, **options))
        if not columns:
            return rows
        return [row[columns[0]] if len(columns) == 1 else tuple(row[name] for name in columns) for row in rows]

    def fill(self, events: int) -> None:
        """So many events of others, some seconds apart."""
        self._client.execute(
            "INSERT INTO events (event_id, message_id, tenant_id, project_id, event_name, timestamp, received_at, "
            "anonymous_id) SELECT generateUUIDv7(), generateUUIDv4(), %(tenant)s, %(project)s, 'filled', "
            "toDateTime64(%(start)s, 3) + number AS at, at, concat('visitor ', toString(number)) "
            "FROM numbers(%(events)s)",
            {
                "tenant": self.project.tenant_id,
                "project": self.project.project_id,
                "start": START.replace(tzinfo=None),
                "events": events,
            },
        )

    def rows_to_read(self, sql: str) -> int:
        """How many rows of events ClickHouse would read."""
        self.write()
        estimate = self._client.execute(f"EXPLAIN ESTIMATE {sql}")
        return sum(int(rows) for _, table, _, rows, _ in estimate if table == "events")

    def rows_read(self, sql: str) -> int:
        """How many rows ClickHouse read for it, of all tables."""
        self.write()
        progress = self._client.execute_with_progress(sql)
        progress.get_result()
        return int(progress.progress_totals.rows)

    def columns_read(self, sql: str) -> set[str]:
        """The words of the plan, the columns that ClickHouse would read among them."""
        self.write()
        plan = self._client.execute(f"EXPLAIN actions = 1, header = 1 {sql}")
        return {word for (line,) in plan for word in re.findall(r"\w+", line)}

    def run(self, sql: str) -> list[Any]:
        """The rows of a text without parameters."""
        return self._rows(Statement(sql, {}))

    def _rows(self, statement: Statement) -> list[Any]:
        return list(json.loads(b"".join(self._answers.stream(statement, Form.JSON))))

    def write(self) -> None:
        """What was told so far."""
        rows, self._events = self._events, []
        if rows:
            self._client.execute(
                f"INSERT INTO events ({', '.join(_EVENT)}) VALUES", [tuple(row.values()) for row in reversed(rows)]
            )


@contextmanager
def tables(server: ClickHouseServer) -> Iterator[tuple[Client, Settings]]:
    """Tables in a database of their own, which keep rows of any year."""
    settings = Settings.model_validate(
        {
            "clickhouse_host": server.host,
            "clickhouse_tcp_port": server.tcp_port,
            "clickhouse_http_port": server.http_port,
            "clickhouse_database": f"t{uuid.uuid4().hex[:10]}",
            "table_events_days": 10_000,  # what is later than 2106 would be long ago for ClickHouse
        }
    )
    apply_tables(settings)
    with clickhouse(settings) as client:
        yield client, settings
        client.execute(f"DROP DATABASE {settings.clickhouse_database} SYNC")
