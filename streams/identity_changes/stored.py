"""What the tables know of a tenant's ids, and a change on its way into topic and table."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from confluent_kafka import KafkaException, Producer

from schemas.codec import Codec
from schemas.kafka import producer_config
from schemas.project_settings import read_project_settings
from schemas.settings import Settings
from streams.identity_changes.links import Change, Claimed, Known, Pair

if TYPE_CHECKING:
    from clickhouse_driver import Client

_WAIT_S_MAX: Final = 10.0
_IDS_MAX: Final = 1_000  # that are followed from one id: a shared device has 50 users
_PROJECTS_SHOWN: Final = 20


class AwayError(RuntimeError):
    """Kafka or ClickHouse is away or refuses; the message says which."""


class ProjectUnknownError(ValueError):
    """There is no such project; the message names some that there are."""


class Owner(NamedTuple):
    """Whose ids they are. placeholders: ids that name nobody there, as ids are compared with them."""

    tenant_id: str
    placeholders: frozenset[str]


@contextmanager
def connected(settings: Settings) -> Iterator["Client"]:
    """A connection. Raises AwayError, also for what is asked within."""
    # Here, as a worker has these commands too: the driver is a seventh of the CPU of its start.
    from clickhouse_driver.errors import Error

    from schemas.apply.tables import clickhouse

    with clickhouse(settings) as client:
        try:
            yield client
        except (Error, EOFError, OSError) as error:
            where = f"ClickHouse at {settings.clickhouse_host}:{settings.clickhouse_tcp_port}"
            raise AwayError(f"{where}: {str(error).partition('Stack trace')[0].strip() or 'no answer'}") from None


def owner_of(client: "Client", project_id: str) -> Owner:
    """The tenant of a project. Raises ProjectUnknownError."""
    rows = client.execute(
        "SELECT toString(project_id), name, toString(tenant_id), settings FROM projects FINAL ORDER BY 2"
    )
    mine = [row for row in rows if row[0] == project_id]
    if not mine:
        some = ", ".join(f"{known} ({name})" for known, name, *_ in rows[:_PROJECTS_SHOWN]) or "none"
        raise ProjectUnknownError(f"no project {project_id!r}; there are {some}")
    words = [read_project_settings(text).placeholder_words() for *_, text in mine]
    return Owner(mine[0][2], frozenset().union(*words))


def known_of(client: "Client", tenant_id: str, ids: Sequence[str]) -> Known:
    """What is stored of ids and of all that were ever linked with them, however far."""
    seen: set[str] = set()
    found = set(ids)
    while found - seen and len(seen) < _IDS_MAX:
        seen |= found
        for table in ("identities", "identity_changes"):
            found.update(one for pair in _ask(client, table, tenant_id, seen) for one in pair)
    asked = {"tenant": tenant_id, "ids": sorted(seen)}
    claimed = [
        Claimed(Pair(visitor, user), _ms(at), source, bool(deleted), _ms(first))
        for visitor, user, at, source, deleted, first in client.execute(
            "SELECT anonymous_id, user_id, linked_at, link_source, is_deleted, first_linked_at FROM identities FINAL "
            f"{_OF} ORDER BY 1, 2",
            asked,
        )
    ]
    changes = [
        Change(Pair(visitor, user), _ms(at), source, bool(deleted), _ms(first), by, why)
        for visitor, user, at, source, deleted, first, by, why in client.execute(
            "SELECT anonymous_id, user_id, changed_at, link_source, is_deleted, first_linked_at, changed_by, reason "
            f"FROM identity_changes FINAL {_OF} ORDER BY 1, 2, 3",
            asked,
        )
    ]
    links = client.execute(f"SELECT anonymous_id, user_id, since FROM identity_links {_OF}", asked)
    return Known(claimed, changes, {Pair(visitor, user): _ms(since) for visitor, user, since in links})


_OF: Final = "WHERE tenant_id = %(tenant)s AND (anonymous_id IN %(ids)s OR user_id IN %(ids)s)"


def person_of(client: "Client", tenant_id: str, user_id: str) -> str:
    """Who a user is today."""
    asked = {"tenant": tenant_id, "user": user_id}
    rows = client.execute(
        "SELECT person_id FROM user_persons WHERE tenant_id = %(tenant)s AND user_id = %(user)s", asked
    )
    return str(rows[0][0]) if rows else user_id


def events_of(client: "Client", tenant_id: str, pair: Pair) -> tuple[int, int]:
    """Events of a visitor without a user, and events that bear the user's id; both 0: nobody ever saw them."""
    asked = {"tenant": tenant_id, "visitor": pair.anonymous_id, "user": pair.user_id}
    visitors, users = (
        client.execute(f"SELECT count() FROM events WHERE tenant_id = %(tenant)s AND {which}", asked)[0][0]
        for which in ("user_id IS NULL AND anonymous_id = %(visitor)s", "user_id = %(user)s")
    )
    return int(visitors), int(users)


def publish(settings: Settings, codec: Codec, tenant_id: str, change: Change) -> None:
    """Write a change to its topic and wait for the acknowledgement. Raises AwayError."""
    failures: list[str] = []
    producer = Producer(producer_config(settings, message_timeout_ms=int(_WAIT_S_MAX * 1000), log_level=0))
    try:
        producer.produce(
            settings.topic("identity_changes"),
            codec.encode(change.record(tenant_id)),
            change.key(tenant_id),
            on_delivery=lambda error, _: failures.append(error.str()) if error else None,
        )
    except KafkaException as error:
        raise AwayError(f"Kafka at {settings.kafka_bootstrap}: {error.args[0].str()}") from None
    if producer.flush(_WAIT_S_MAX) or failures:
        why = failures[0] if failures else "did not acknowledge the change in time"
        raise AwayError(f"Kafka at {settings.kafka_bootstrap}: {why}")


def store(client: "Client", tenant_id: str, change: Change) -> None:
    """The same row into the table, at once: the sink writes it again, and it is one row."""
    row: dict[str, Any] = change.record(tenant_id)
    for name in ("changed_at", "first_linked_at"):
        row[name] = datetime.fromtimestamp(row[name] / 1000, UTC)
    client.execute(f"INSERT INTO identity_changes ({', '.join(row)}) VALUES", [row])


def _ask(client: "Client", table: str, tenant_id: str, ids: set[str]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = client.execute(
        f"SELECT DISTINCT anonymous_id, user_id FROM {table} {_OF}", {"tenant": tenant_id, "ids": sorted(ids)}
    )
    return rows


def _ms(moment: datetime) -> int:
    return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
