"""Make the topics and tables what the contract says; safe to repeat, and says what it did.

`check_*` only compare. Both return lines for people: `created …`, `altered …`, `ok …`, `differs …`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Any, Final

from clickhouse_driver import Client
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from schemas.settings import Settings
from schemas.topics import TOPICS, Topic

_DDL: Final = resources.files("schemas") / "ddl" / "clickhouse"
# Tables before the views that read them.
TABLES: Final = ("events", "sessions", "identities", "projects", "conversations", "dead_letters")
VIEWS: Final = ("events_resolved",)
_TIMEOUT_S: Final = 30.0


class Verdict(StrEnum):
    """What was found or done for one thing."""

    OK = "ok"
    CREATED = "created"
    ALTERED = "altered"
    MISSING = "missing"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Finding:
    """One topic or table, what was found or done, and the particulars."""

    verdict: Verdict
    subject: str
    detail: str = ""

    @property
    def settled(self) -> bool:
        """Whether the thing is now as the contract says."""
        return self.verdict not in (Verdict.MISSING, Verdict.DIFFERS)

    def __str__(self) -> str:
        return f"{self.verdict:8} {self.subject}" + (f": {self.detail}" if self.detail else "")


class ApplyError(RuntimeError):
    """A server refused or cannot be reached; the message says which and what to do."""


def partitions(topic: Topic, settings: Settings) -> int:
    """How many partitions a topic has under these settings."""
    return topic.partitions or settings.partitions


def apply_topics(settings: Settings) -> list[Finding]:
    """Create missing topics and set the configuration of the others. Raises ApplyError when Kafka is away."""
    return [_settle_topic(finding, topic, settings, admin) for admin, topic, finding in _inspect_topics(settings)]


def check_topics(settings: Settings) -> list[Finding]:
    """Compare the topics with the contract. Raises ApplyError when Kafka is away."""
    return [finding for _, _, finding in _inspect_topics(settings)]


def _inspect_topics(settings: Settings) -> Iterator[tuple[AdminClient, Topic, Finding]]:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    try:
        existing = admin.list_topics(timeout=10).topics
    except KafkaException as error:
        raise ApplyError(f"Kafka at {settings.kafka_bootstrap} cannot be reached: {error.args[0].str()}") from None
    for topic in TOPICS.values():
        name = settings.topic(topic.name)
        wanted = partitions(topic, settings)
        subject = f"topic {name}"
        if name not in existing:
            yield admin, topic, Finding(Verdict.MISSING, subject)
        elif len(existing[name].partitions) != wanted:
            # Never altered: more partitions would move keys away from their state.
            found = len(existing[name].partitions)
            detail = f"{found} partitions, settings say {wanted}; changing them takes a new streams_generation"
            yield admin, topic, Finding(Verdict.DIFFERS, subject, detail)
        else:
            differences = _config_differences(admin, name, topic)
            verdict = Verdict.DIFFERS if differences else Verdict.OK
            yield (
                admin,
                topic,
                Finding(verdict, subject, ", ".join(differences) or f"{wanted} partitions, {topic.cleanup}"),
            )


def _config_differences(admin: AdminClient, name: str, topic: Topic) -> list[str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    config = admin.describe_configs([resource])[resource].result(_TIMEOUT_S)
    return [
        f"{key}={config[key].value} should be {value}"
        for key, value in topic.broker_config().items()
        if set(str(config[key].value).split(",")) != set(value.split(","))
    ]


def _settle_topic(finding: Finding, topic: Topic, settings: Settings, admin: AdminClient) -> Finding:
    name = settings.topic(topic.name)
    if finding.verdict is Verdict.MISSING:
        count = partitions(topic, settings)
        new = NewTopic(name, count, settings.replication_factor, config=topic.broker_config())
        try:
            admin.create_topics([new])[name].result(_TIMEOUT_S)
        except KafkaException as error:
            raise ApplyError(f"topic {name} cannot be created: {error.args[0].str()}") from None
        return Finding(Verdict.CREATED, finding.subject, f"{count} partitions, {topic.cleanup}")
    if finding.verdict is Verdict.DIFFERS and "partitions" not in finding.detail:
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in topic.broker_config().items()
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
        admin.incremental_alter_configs([resource])[resource].result(_TIMEOUT_S)
        return Finding(Verdict.ALTERED, finding.subject, finding.detail)
    return finding


def clickhouse(settings: Settings, database: str | None = None) -> Client:
    """A native-protocol connection for DDL and queries; not for the hot path."""
    return Client(
        settings.clickhouse_host,
        port=settings.clickhouse_tcp_port,
        user=settings.clickhouse_user,
        password=settings.clickhouse_password.get_secret_value(),
        database=settings.clickhouse_database if database is None else database,
        connect_timeout=5,
    )


def statements(table: str) -> list[str]:
    """The DDL statements of `ddl/clickhouse/<table>.sql`."""
    lines = (
        line for line in (_DDL / f"{table}.sql").read_text("utf-8").splitlines() if not line.strip().startswith("--")
    )
    return [statement.strip() for statement in "\n".join(lines).split(";\n") if statement.strip(" ;\n")]


def apply_tables(settings: Settings) -> list[Finding]:
    """Create the database, missing tables and missing columns. Raises ApplyError when ClickHouse is away."""
    with _reachable(settings) as client:
        client.execute(f"CREATE DATABASE IF NOT EXISTS {settings.clickhouse_database}")
    with clickhouse(settings) as client:
        return [_settle_table(client, table) for table in TABLES] + [_settle_view(client, view) for view in VIEWS]


def check_tables(settings: Settings) -> list[Finding]:
    """Compare the tables with the contract. Raises ApplyError when ClickHouse is away."""
    with _reachable(settings) as client:
        names = {name for (name,) in client.execute("SELECT name FROM system.databases")}
        if settings.clickhouse_database not in names:
            return [Finding(Verdict.MISSING, f"database {settings.clickhouse_database}")]
    with clickhouse(settings) as client:
        return [_inspect_table(client, table)[0] for table in (*TABLES, *VIEWS)]


def _reachable(settings: Settings) -> Client:
    client = clickhouse(settings, "default")
    try:
        client.execute("SELECT 1")
    except (EOFError, OSError) as error:
        where = f"{settings.clickhouse_host}:{settings.clickhouse_tcp_port}"
        raise ApplyError(f"ClickHouse at {where} cannot be reached: {error}") from None
    return client


def _columns(client: Client, table: str) -> dict[str, tuple[str, str]]:
    query = (
        "SELECT name, type, default_expression FROM system.columns "
        "WHERE database = currentDatabase() AND table = %(table)s"
    )
    return {name: (kind, default) for name, kind, default in client.execute(query, {"table": table})}


def _inspect_table(client: Client, table: str) -> tuple[Finding, Sequence[tuple[str, str, str]]]:
    """Compare a table with a scratch table made from the same DDL; also returns the columns that lack."""
    subject = f"table {table}"
    actual = _columns(client, table)
    if not actual:
        return Finding(Verdict.MISSING, subject), []
    if table in VIEWS:
        return Finding(Verdict.OK, subject), []
    scratch = f"_contract_{table}"
    client.execute(f"DROP TABLE IF EXISTS {scratch}")
    create = statements(table)[0]
    client.execute(create.replace(f"IF NOT EXISTS {table}", scratch, 1))
    try:
        wanted = _columns(client, scratch)
    finally:
        client.execute(f"DROP TABLE {scratch} SYNC")
    lacking = [(name, kind, default) for name, (kind, default) in wanted.items() if name not in actual]
    changed = [
        f"{name} is {actual[name][0]}, should be {kind}"
        for name, (kind, _) in wanted.items()
        if name in actual and actual[name][0] != kind
    ]
    extra = [f"{name} is not in the contract" for name in actual if name not in wanted]
    problems = changed + extra + [f"{name} lacks" for name, _, _ in lacking]
    return Finding(Verdict.DIFFERS if problems else Verdict.OK, subject, ", ".join(problems)), lacking


def _settle_table(client: Client, table: str) -> Finding:
    finding, lacking = _inspect_table(client, table)
    if finding.verdict is Verdict.MISSING:
        for statement in statements(table):
            client.execute(statement)
        return Finding(Verdict.CREATED, finding.subject)
    for statement in statements(table)[1:]:
        client.execute(statement)
    if not lacking:
        return finding
    for name, kind, default in lacking:
        client.execute(
            f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {kind}" + (f" DEFAULT {default}" if default else "")
        )
    after, _ = _inspect_table(client, table)
    return Finding(Verdict.ALTERED, finding.subject, finding.detail) if after.settled else after


def _settle_view(client: Client, view: str) -> Finding:
    existed = bool(_columns(client, view))
    for statement in statements(view):
        # Views hold no rows: replaced each time, so that they follow their tables' columns.
        client.execute(statement.replace("CREATE VIEW IF NOT EXISTS", "CREATE OR REPLACE VIEW", 1))
    return Finding(Verdict.OK if existed else Verdict.CREATED, f"table {view}")


def as_table(findings: Sequence[Finding]) -> Any:
    """The findings as a rich table."""
    from rich.table import Table

    table = Table("", "what", "detail", box=None)
    for finding in findings:
        colour = "green" if finding.settled else "red"
        table.add_row(f"[{colour}]{finding.verdict}[/]", finding.subject, finding.detail)
    return table
