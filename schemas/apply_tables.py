"""Make ClickHouse's tables what `ddl/clickhouse` says; safe to repeat, and says what it did.

Nothing is ever dropped or converted: what lacks is added, everything else that differs is reported.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Final

from clickhouse_driver import Client
from clickhouse_driver.errors import Error, ServerException

from schemas.findings import ApplyError, Finding, Verdict
from schemas.settings import Settings
from schemas.table_shape import Differences, compare, exists, read_shape, read_view

_DDL: Final = resources.files("schemas") / "ddl" / "clickhouse"
TABLES: Final = ("events", "sessions", "identities", "projects", "conversations", "dead_letters")
VIEWS: Final = ("sessions_current", "events_resolved")
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


def statement(name: str) -> str:
    """The statement of `ddl/clickhouse/<name>.sql`, without its line comments."""
    lines = (_DDL / f"{name}.sql").read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.strip().startswith("--")).strip("; \n")


def check_tables(settings: Settings) -> list[Finding]:
    """Compare the tables with the contract. Raises ApplyError when ClickHouse is away."""
    with _connected(settings, "default") as client:
        databases = {name for (name,) in client.execute("SELECT name FROM system.databases")}
        if settings.clickhouse_database not in databases:
            return [Finding(Verdict.MISSING, f"database {settings.clickhouse_database}")]
    with _connected(settings) as client:
        tables = [_inspect_table(client, table)[0] for table in TABLES]
        return tables + [_inspect_view(client, view) for view in VIEWS]


def apply_tables(settings: Settings) -> list[Finding]:
    """Create the database and what lacks in it. Raises ApplyError when ClickHouse is away."""
    with _connected(settings, "default") as client:
        client.execute(f"CREATE DATABASE IF NOT EXISTS {settings.clickhouse_database}")
    with _connected(settings) as client:
        return [_settle_table(client, table) for table in TABLES] + [_settle_view(client, view) for view in VIEWS]


@contextmanager
def _connected(settings: Settings, database: str | None = None) -> Iterator[Client]:
    where = f"ClickHouse at {settings.clickhouse_host}:{settings.clickhouse_tcp_port}"
    with clickhouse(settings, database) as client:
        try:
            yield client
        except ServerException as error:
            reason = str(error.message).partition("Stack trace")[0].strip()
            raise ApplyError(f"{where} refuses: {reason} (code {error.code})") from None
        except (EOFError, OSError, Error) as error:
            raise ApplyError(f"{where} cannot be reached: {error or 'the connection was closed'}") from None


def _inspect_table(client: Client, table: str) -> tuple[Finding, Differences]:
    subject = f"table {table}"
    if not exists(client, table):
        return Finding(Verdict.MISSING, subject), Differences({}, ())
    with _scratch(client, table) as scratch:
        differences = compare(read_shape(client, scratch), read_shape(client, table))
    verdict = Verdict.DIFFERS if differences.lacking or differences.conflicts else Verdict.OK
    return Finding(verdict, subject, str(differences)), differences


def _settle_table(client: Client, table: str) -> Finding:
    finding, differences = _inspect_table(client, table)
    if finding.verdict is Verdict.MISSING:
        client.execute(statement(table))
        return Finding(Verdict.CREATED, finding.subject)
    if not differences.lacking:
        return finding
    for command in differences.lacking.values():
        client.execute(f"ALTER TABLE {table} {command}")
    added = "added " + ", ".join(differences.lacking)
    after, _ = _inspect_table(client, table)
    if after.settled:
        return Finding(Verdict.ALTERED, finding.subject, added)
    return Finding(after.verdict, finding.subject, f"{added}, but {after.detail}")


def _inspect_view(client: Client, view: str) -> Finding:
    subject = f"view {view}"
    if not exists(client, view):
        return Finding(Verdict.MISSING, subject)
    with _scratch(client, view) as scratch:
        same = read_view(client, scratch) == read_view(client, view)
    return Finding(Verdict.OK, subject) if same else Finding(Verdict.DIFFERS, subject, "not the contract's query")


def _settle_view(client: Client, view: str) -> Finding:
    finding = _inspect_view(client, view)
    if finding.settled:
        return finding
    # Views hold no rows: replaced, also when only the columns of their tables changed.
    client.execute(statement(view).replace("CREATE VIEW IF NOT EXISTS", "CREATE OR REPLACE VIEW", 1))
    verdict = Verdict.CREATED if finding.verdict is Verdict.MISSING else Verdict.ALTERED
    return Finding(verdict, finding.subject)


@contextmanager
def _scratch(client: Client, name: str) -> Iterator[str]:
    """An empty table or a view made of the DDL of `name`: the contract in ClickHouse's own spelling."""
    scratch = f"_contract_{name}_{uuid.uuid4().hex[:12]}"  # two checks at once must not meet
    client.execute(statement(name).replace(f"IF NOT EXISTS {name}", scratch, 1))
    try:
        yield scratch
    finally:
        client.execute(f"DROP TABLE {scratch} SYNC")
