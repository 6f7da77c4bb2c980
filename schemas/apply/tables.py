"""Make ClickHouse's tables what `ddl/clickhouse` says; safe to repeat, and says what it did.

Nothing is ever dropped or converted by comparing: what lacks is added, what an operator added is a note, everything
else that differs is reported. What no comparison finds is a numbered migration (`schemas.apply.migrations`).
"""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Final

from clickhouse_driver import Client
from clickhouse_driver.errors import Error, ServerException

from schemas.apply.findings import ApplyError, Finding, Verdict
from schemas.apply.migrations import apply_migrations, check_migrations, plan_migrations, read_migrations, refusal
from schemas.apply.profile import profile_notes
from schemas.apply.table_shape import Differences, compare, exists, read_shape, read_view
from schemas.settings import Settings

_DDL: Final = resources.files("schemas") / "ddl" / "clickhouse"
TABLES: Final = (
    "events",
    "events_hourly",
    "events_daily",
    "sessions",
    "identities",
    "identity_changes",
    "projects",
    "conversations",
    "dead_letters",
    "dead_letter_replays",
)
VIEWS: Final = (
    "sessions_current",
    "conversations_current",
    "identity_links",
    "user_persons",
    "tenant_persons",
    "person_keys",
    "events_resolved",
    "tenant_events",
    "sessions_resolved",
    "person_events",
    "events_sessions",
)  # after what they read
_RETENTION: Final = {
    "events": "table_events_days",
    "sessions": "table_events_days",
    "events_hourly": "table_rollups_days",
    "events_daily": "table_rollups_days",
    "dead_letters": "table_dead_letters_days",
    "dead_letter_replays": "table_dead_letters_days",
}
_KEPT: Final = re.compile(r"INTERVAL \d+ YEAR")
_SCRATCH: Final = "^_contract_[a-z_]+_[0-9a-f]{12}$"
_CONNECT_S: Final = 5


def clickhouse(settings: Settings, database: str | None = None) -> Client:
    """A native-protocol connection for DDL and queries; not for the hot path."""
    return Client(
        settings.clickhouse_host,
        port=settings.clickhouse_tcp_port,
        user=settings.clickhouse_user,
        password=settings.clickhouse_password.get_secret_value(),
        database=settings.clickhouse_database if database is None else database,
        connect_timeout=_CONNECT_S,
    )


def statement(name: str, days: int | None = None) -> str:
    """The statement of `ddl/clickhouse/<name>.sql`, without its line comments.

    days: how long a row is kept; None: as long as it says.
    """
    lines = (_DDL / f"{name}.sql").read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.strip().startswith("--")).strip("; \n")
    return text if days is None else _KEPT.sub(f"INTERVAL {days} DAY", text, count=1)


def replacement(view: str) -> str:
    """The statement that makes a view what `ddl/clickhouse` says, whatever it was."""
    return statement(view).replace("CREATE VIEW IF NOT EXISTS", "CREATE OR REPLACE VIEW", 1)


def check_tables(settings: Settings) -> list[Finding]:
    """Compare the tables with the contract. Raises ApplyError when ClickHouse is away."""
    if not _has_database(settings):
        return [Finding(Verdict.MISSING, f"database {settings.clickhouse_database}")]
    with connected(settings) as client:
        tables = [_inspect_table(client, table, settings)[0] for table in TABLES]
        migrations = check_migrations(client, read_migrations())
        return [migrations, *tables, *(_inspect_view(client, view) for view in VIEWS), *profile_notes(client)]


def plan_tables(settings: Settings) -> list[Finding]:
    """What `apply_tables` would do now, doing nothing. Raises ApplyError when ClickHouse is away."""
    if not _has_database(settings):
        names = (f"database {settings.clickhouse_database}", *(f"table {name}" for name in TABLES))
        return [Finding(Verdict.TO_CREATE, name) for name in (*names, *(f"view {view}" for view in VIEWS))]
    with connected(settings) as client:
        tables = [_plan_table(client, table, settings) for table in TABLES]
        fresh = all(finding.verdict is Verdict.TO_CREATE for finding in tables)
        migrations = [] if fresh else [plan_migrations(client, read_migrations())]
        return [*migrations, *tables, *(_plan_view(client, view) for view in VIEWS), *profile_notes(client)]


def apply_tables(settings: Settings) -> list[Finding]:
    """Create the database and what lacks in it, and migrate. Raises ApplyError when ClickHouse is away or refuses."""
    with connected(settings, "default") as client:
        client.execute(f"CREATE DATABASE IF NOT EXISTS {settings.clickhouse_database}")
    with connected(settings) as client:
        drop_old_scratch(client)
        created = [table for table in TABLES if not exists(client, table)]
        for table in created:
            client.execute(statement(table, _days(table, settings)))
        migrations = apply_migrations(client, read_migrations(), fresh=len(created) == len(TABLES))
        tables = [
            Finding(Verdict.CREATED, f"table {table}") if table in created else _settle_table(client, table, settings)
            for table in TABLES
        ]
        return [migrations, *tables, *(_settle_view(client, view) for view in VIEWS), *profile_notes(client)]


def _has_database(settings: Settings) -> bool:
    with connected(settings, "default") as client:
        databases = {name for (name,) in client.execute("SELECT name FROM system.databases")}
    return settings.clickhouse_database in databases


def _days(table: str, settings: Settings) -> int | None:
    """For how many days a table keeps its rows; None: as its DDL says."""
    return getattr(settings, _RETENTION[table]) if table in _RETENTION else None


@contextmanager
def connected(settings: Settings, database: str | None = None) -> Iterator[Client]:
    """A connection to the settings' database, or another. Raises ApplyError when ClickHouse is away or refuses."""
    where = f"ClickHouse at {settings.clickhouse_host}:{settings.clickhouse_tcp_port}"
    with clickhouse(settings, database) as client:
        try:
            yield client
        except ServerException as error:
            raise ApplyError(f"{where} refuses: {refusal(error)}") from None
        except (EOFError, OSError, Error) as error:
            raise ApplyError(f"{where} cannot be reached: {error or 'the connection was closed'}") from None


def _inspect_table(client: Client, table: str, settings: Settings) -> tuple[Finding, Differences]:
    subject = f"table {table}"
    if not exists(client, table):
        return Finding(Verdict.MISSING, subject), Differences()
    with scratch_of(client, table, _days(table, settings)) as scratch:
        differences = compare(read_shape(client, scratch), read_shape(client, table))
    verdict = Verdict.NOTE if differences.notes else Verdict.OK
    if differences.lacking or differences.conflicts:
        verdict = Verdict.DIFFERS
    return Finding(verdict, subject, str(differences)), differences


def _plan_table(client: Client, table: str, settings: Settings) -> Finding:
    finding, differences = _inspect_table(client, table, settings)
    if finding.verdict is Verdict.MISSING:
        return Finding(Verdict.TO_CREATE, finding.subject, f"schemas/ddl/clickhouse/{table}.sql")
    if not differences.lacking:
        return finding
    commands = [f"ALTER TABLE {table} {command}" for command in differences.lacking.values()]
    verdict = Verdict.DIFFERS if differences.conflicts else Verdict.TO_ALTER
    return Finding(verdict, finding.subject, "; ".join((*commands, *differences.conflicts, *differences.notes)))


def _settle_table(client: Client, table: str, settings: Settings) -> Finding:
    finding, differences = _inspect_table(client, table, settings)
    if not differences.lacking:
        return finding
    for command in differences.lacking.values():
        client.execute(f"ALTER TABLE {table} {command}")
    added = "added " + ", ".join(differences.lacking)
    after, left = _inspect_table(client, table, settings)
    if after.settled:
        return Finding(Verdict.ALTERED, finding.subject, ", ".join((added, *left.notes)))
    return Finding(after.verdict, finding.subject, f"{added}, but {after.detail}")


def _inspect_view(client: Client, view: str) -> Finding:
    subject = f"view {view}"
    if not exists(client, view):
        return Finding(Verdict.MISSING, subject)
    with scratch_of(client, view) as scratch:
        same = read_view(client, scratch) == read_view(client, view)
    return Finding(Verdict.OK, subject) if same else Finding(Verdict.DIFFERS, subject, "not the contract's query")


def _plan_view(client: Client, view: str) -> Finding:
    finding = _inspect_view(client, view)
    if finding.settled:
        return finding
    verdict = Verdict.TO_CREATE if finding.verdict is Verdict.MISSING else Verdict.TO_ALTER
    return Finding(verdict, finding.subject, f"CREATE OR REPLACE by schemas/ddl/clickhouse/{view}.sql")


def _settle_view(client: Client, view: str) -> Finding:
    finding = _inspect_view(client, view)
    if finding.settled:
        return finding
    # Views hold no rows: replaced, also when only the columns of their tables changed.
    client.execute(replacement(view))
    verdict = Verdict.CREATED if finding.verdict is Verdict.MISSING else Verdict.ALTERED
    return Finding(verdict, finding.subject)


@contextmanager
def scratch_of(client: Client, name: str, days: int | None = None) -> Iterator[str]:
    """An empty table or a view made of the DDL of `name`: the contract in ClickHouse's own spelling."""
    scratch = f"_contract_{name}_{uuid.uuid4().hex[:12]}"  # two checks at once must not meet
    client.execute(statement(name, days).replace(f"IF NOT EXISTS {name}", scratch, 1))
    try:
        yield scratch
    finally:
        client.execute(f"DROP TABLE {scratch} SYNC")


def drop_old_scratch(client: Client, older_than_s: int = 3600) -> None:
    """Remove what a check that was killed left behind; none takes an hour."""
    rows = client.execute(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND match(name, %(form)s) "
        "AND metadata_modification_time < now() - %(age)s",
        {"form": _SCRATCH, "age": older_than_s},
    )
    for (name,) in rows:
        client.execute(f"DROP TABLE IF EXISTS {name} SYNC")
