"""The query patterns of `events` in the forms that people write, and what one answer costs the server.

A question is asked of rows from `question_rows.sql`; which user, visitor, session and message is asked for follows from
these rows: one of the tenant with 10 to 14 events, as most have that come back.
"""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.bench.question_rows import TENANT

GRANULE: Final = 8192  # rows of `events` that are read together
Settings = Mapping[str, str | int]
# What ClickHouse does for a user to whom nobody gave docker/clickhouse/users.d/tally.xml.
SERVER_DEFAULTS: Final[Settings] = {"use_skip_indexes_on_data_read": 1}
_OF_TENANT: Final = f"tenant_id = '{TENANT}'"
_LOOKED_UP: Final = {
    "user history": "user_id",
    "visitor history": "anonymous_id",
    "session lookup": "session_id",
    "message lookup": "message_id",
}
_FORMS: Final = {
    "*": "SELECT * FROM events WHERE {one} ORDER BY timestamp",
    "* with tenant": "SELECT * FROM events WHERE {tenant} AND {one} ORDER BY timestamp",
    "* with tenant, newest 100": "SELECT * FROM events WHERE {tenant} AND {one} ORDER BY timestamp DESC LIMIT 100",
    "few columns": "SELECT event_name, timestamp FROM events WHERE {one} ORDER BY timestamp DESC LIMIT 100",
    "few columns with tenant": "SELECT event_name, timestamp FROM events WHERE {tenant} AND {one} ORDER BY timestamp",
    "few columns with tenant, 30 days": (
        "SELECT event_name, timestamp, anonymous_id FROM events WHERE {tenant} AND {one} AND {month}"
    ),
    "count with tenant": "SELECT count() FROM events WHERE {tenant} AND {one}",
}
_WITHIN_A_NAME: Final = "SELECT timestamp, anonymous_id FROM events WHERE {tenant} AND {one} AND event_name = 'Home'"
_FUNNEL: Final = (
    "SELECT level, count() FROM (SELECT anonymous_id, windowFunnel(86400)(toDateTime(timestamp), "
    "event_name = 'Product Viewed', event_name = 'Product Added', event_name = 'Order Completed') AS level "
    "FROM events WHERE {tenant} AND event_name IN ('Product Viewed', 'Product Added', 'Order Completed') AND {month} "
    "GROUP BY anonymous_id) GROUP BY level"
)

# Three in eight visitors are linked, 300,000 of 800,000.
LINKS: Final = (
    "INSERT INTO identities (tenant_id, anonymous_id, user_id, linked_at, link_source, first_linked_at) "
    "SELECT tenant_id, anonymous_id, concat('person-', toString(cityHash64(anonymous_id) % 250000)), max(timestamp), "
    "'identify', min(timestamp) FROM events GROUP BY tenant_id, anonymous_id HAVING cityHash64(anonymous_id) % 8 < 3"
)


@dataclass(frozen=True, slots=True)
class Question:
    """One query. needed: a query for how many granules hold an answer, '' where the rows asked for are the cost.

    by_default: whether it must be answered from few granules also with `SERVER_DEFAULTS`.
    """

    name: str
    query: str
    needed: str = ""
    by_default: bool = True

    @property
    def passes(self) -> int:
        """How often its rows count: with a LIMIT ClickHouse reads what it sorts by, then the other columns."""
        return 2 if " LIMIT " in self.query else 1


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one answer: rows read, by the server's own account; wall time; the largest memory."""

    rows_read: int
    milliseconds: float
    memory_mb: float


class Server:
    """Asks over HTTP and keeps what the server says of its own work. url: with a slash at its end."""

    def __init__(self, url: str, database: str) -> None:
        self._url = url
        self._database = database

    def ask(self, query: str, settings: Settings | None = None) -> tuple[str, Cost]:
        """The answer as tab-separated text. Raises OSError with the server's words."""
        parameters = {"database": self._database, "wait_end_of_query": 1, **(settings or {})}
        url = f"{self._url}?{urllib.parse.urlencode(parameters)}"
        began = time.monotonic()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, query.encode()), timeout=600) as answer:
                text: str = answer.read().decode()
                summary: dict[str, str] = json.loads(answer.headers["X-ClickHouse-Summary"])
        except urllib.error.HTTPError as error:
            with error:
                raise OSError(error.read().decode(errors="replace").strip()) from None
        took_ms = (time.monotonic() - began) * 1000
        return text, Cost(int(summary["read_rows"]), took_ms, int(summary.get("memory_usage", 0)) / 1e6)

    def text(self, query: str) -> str:
        """The answer alone."""
        return self.ask(query)[0].strip()


def lookups(server: Server) -> Iterator[Question]:
    """The questions about one user, visitor, session, message: few granules hold the answer."""
    month = _last_days(server, 30)
    for pattern, column in _LOOKED_UP.items():
        some = "" if column == "message_id" else "HAVING count() BETWEEN 10 AND 14"
        value = server.text(
            f"SELECT {column} FROM events WHERE {_OF_TENANT} AND isNotNull({column}) "
            f"GROUP BY {column} {some} ORDER BY cityHash64({column}) LIMIT 1"
        )
        one = f"{column} = '{value}'"
        needed = f"SELECT uniqExact(_part, intDiv(_part_offset, {GRANULE})) FROM events WHERE {one}"
        for form, query in _FORMS.items():
            text = query.format(one=one, tenant=_OF_TENANT, month=month)
            yield Question(f"{pattern}: {form}", text, needed)
        if column in ("user_id", "anonymous_id"):
            text = _WITHIN_A_NAME.format(one=one, tenant=_OF_TENANT)
            yield Question(f"{pattern}: within one event's name", text, needed, by_default=False)


def ranges(server: Server) -> Iterator[Question]:
    """The questions about a time or a funnel: rows of the range, of the names."""
    day, month = _last_days(server, 4, 3), _last_days(server, 30)
    yield Question("time range: a day, counted", f"SELECT uniq(anonymous_id) FROM events WHERE {_OF_TENANT} AND {day}")
    yield Question("time range: a day, newest 100", _newest(day))
    yield Question("time range: newest 100 of all", _newest("1"))
    yield Question("funnel: three steps, 30 days", _FUNNEL.format(tenant=_OF_TENANT, month=month))
    yield Question(
        "funnel: who came to one event, 30 days",
        "SELECT uniq(coalesce(user_id, anonymous_id)) FROM events "
        f"WHERE {_OF_TENANT} AND event_name = 'Order Completed' AND {month}",
    )


def persons(server: Server) -> Iterator[Question]:
    """The questions about people, whose identities `LINKS` has made; the first is what they are compared with."""
    by_day = f"WHERE {_OF_TENANT} AND {_last_days(server, 30)} GROUP BY toDate(timestamp)"
    of_tenant = f"tenant = '{TENANT}'"
    yield Question("persons: visitors by day, 30 days", f"SELECT uniq(anonymous_id) FROM events {by_day}")
    for who, source in (
        ("person_key", f"tenant_events({of_tenant})"),
        ("ifNull(resolved_user_id, anonymous_id)", f"tenant_events({of_tenant})"),
        ("ifNull(resolved_user_id, anonymous_id)", "events_resolved"),
    ):
        name = f"persons: the same by {who} of {source.partition('(')[0]}"
        yield Question(name, f"SELECT uniq({who}) FROM {source} {by_day}")
    user = server.text(
        f"SELECT user_id FROM identities WHERE {_OF_TENANT} AND anonymous_id IN (SELECT anonymous_id FROM events WHERE "
        f"{_OF_TENANT} GROUP BY 1 HAVING count() BETWEEN 10 AND 14) ORDER BY cityHash64(user_id) LIMIT 1"
    )
    yield Question("persons: all events of one", f"SELECT * FROM person_events({of_tenant}, user = '{user}')")


def _newest(condition: str) -> str:
    return f"SELECT * FROM events WHERE {_OF_TENANT} AND {condition} ORDER BY timestamp DESC LIMIT 100"


def _last_days(server: Server, first: int, last: int = 0) -> str:
    newest = server.text(f"SELECT max(timestamp) FROM events WHERE {_OF_TENANT}")
    since, until = (f"toDateTime64('{newest}', 3) - INTERVAL {days} DAY" for days in (first, last))
    return f"timestamp >= {since} AND timestamp <= {until}"
