"""Changes of tables that exist already which no comparison with the DDL makes by itself: other codecs, keys, types.

Each is a file `ddl/clickhouse/migrations/NNNN_name.sql`, run once in the order of the numbers and recorded in the table
`schema_migrations`. ClickHouse has no transactions over DDL, so a migration that was interrupted is run again from its
beginning: every statement in it must be one that may be repeated. New tables come from the DDL, which holds all
migrations already; they are recorded then, and not run.

Lines that begin with `--?` are a query for what would be lost: each row of one text names something that is in the way,
and any row refuses the migration before its first statement. It changes nothing, so it is not part of the digest.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from schemas.apply.findings import ApplyError, Finding, Verdict

FOLDER: Final = resources.files("schemas") / "ddl" / "clickhouse" / "migrations"
_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_CHECK: Final = "--?"
_SUBJECT: Final = "migrations"
_RECORD: Final = (
    "CREATE TABLE IF NOT EXISTS schema_migrations "
    "(number UInt32, name String, digest String, applied_at DateTime64(3, 'UTC')) "
    "ENGINE = ReplacingMergeTree(applied_at) ORDER BY number"
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name without the ending, its statements, and its queries for what would be lost."""

    number: int
    name: str
    statements: tuple[str, ...]
    checks: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Changes whenever a statement does."""
        return hashlib.sha256("\0".join(self.statements).encode()).hexdigest()


def read_migrations(folder: Traversable = FOLDER) -> list[Migration]:
    """The migrations in their order. Raises ValueError for a name or a number that does not fit."""
    found = [_read(file) for file in sorted(folder.iterdir(), key=lambda file: file.name)]
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations are not numbered 1 to {len(found)}: {[migration.name for migration in found]}")
    return found


def _read(file: Traversable) -> Migration:
    match = _NAME.fullmatch(file.name)
    if match is None:
        raise ValueError(f"{file.name}: a migration is called NNNN_name.sql")
    lines = file.read_text("utf-8").splitlines()
    statements = _statements(line for line in lines if not line.strip().startswith("--"))
    checks = _statements(line.removeprefix(_CHECK) for line in lines if line.startswith(_CHECK))
    return Migration(int(match[1]), file.name.removesuffix(".sql"), statements, checks)


def _statements(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in re.split(r";\s*(?:\n|$)", "\n".join(lines)))))


def check_migrations(client: Client, migrations: Sequence[Migration]) -> Finding:
    """How far the database is, changing nothing."""
    applied = _applied(client)
    if changed := list(_changed(migrations, applied)):
        return Finding(Verdict.DIFFERS, _SUBJECT, "; ".join(changed))
    if lacking := [migration.name for migration in migrations if migration.number not in applied]:
        return Finding(Verdict.MISSING, _SUBJECT, f"not applied: {', '.join(lacking)}")
    known = {migration.number for migration in migrations}
    if newer := [name for number, (name, _) in applied.items() if number not in known]:
        return Finding(Verdict.NOTE, _SUBJECT, f"a newer release applied {', '.join(newer)}")
    return Finding(Verdict.OK, _SUBJECT, f"{len(migrations)} applied")


def plan_migrations(client: Client, migrations: Sequence[Migration]) -> Finding:
    """What `apply_migrations` would run, statement by statement."""
    finding = check_migrations(client, migrations)
    if finding.verdict is not Verdict.MISSING:
        return finding
    applied = _applied(client)
    if refused := [text for one in migrations if one.number not in applied and (text := _in_the_way(client, one))]:
        return Finding(Verdict.DIFFERS, _SUBJECT, "; ".join(refused))
    texts = [
        f"{migration.name}: {'; '.join(' '.join(statement.split()) for statement in migration.statements)}"
        for migration in migrations
        if migration.number not in applied
    ]
    return Finding(Verdict.TO_ALTER, _SUBJECT, " | ".join(texts))


def apply_migrations(client: Client, migrations: Sequence[Migration], *, fresh: bool) -> Finding:
    """Run what was not applied yet; `fresh`: the tables were made just now, so only record.

    Raises ApplyError naming the migration that the database refuses: it is not recorded, and the next call repeats it.
    """
    client.execute(_RECORD)
    finding = check_migrations(client, migrations)
    if finding.verdict is not Verdict.MISSING:
        return finding
    applied = _applied(client)
    lacking = [migration for migration in migrations if migration.number not in applied]
    for migration in lacking:
        if not fresh:
            _run(client, migration)
        client.execute(
            "INSERT INTO schema_migrations SELECT %(number)s, %(name)s, %(digest)s, now64(3)",
            {"number": migration.number, "name": migration.name, "digest": migration.digest},
        )
    names = ", ".join(migration.name for migration in lacking)
    if fresh:
        return Finding(Verdict.CREATED, _SUBJECT, f"new tables have them: {names}")
    return Finding(Verdict.ALTERED, _SUBJECT, f"applied {names}")


def refusal(error: ServerException) -> str:
    """What ClickHouse says, without where in its own code."""
    return f"{str(error.message).partition('Stack trace')[0].strip()} (code {error.code})"


def _in_the_way(client: Client, migration: Migration) -> str:
    """What the migration would lose and what to do about it; "" for nothing."""
    found = [str(what) for check in migration.checks for (what,) in client.execute(check)]
    if not found:
        return ""
    return (
        f"migration {migration.name} makes a table anew and would drop what was added to it: {', '.join(found)}. "
        "Nothing was changed. Note how each is made (SHOW CREATE TABLE) and keep a column's values in a table of your "
        "own, drop them, run `python -m schemas apply` again, and add them again"
    )


def _run(client: Client, migration: Migration) -> None:
    if refused := _in_the_way(client, migration):
        raise ApplyError(refused)
    for statement in migration.statements:
        try:
            client.execute(statement)
        except ServerException as error:
            raise ApplyError(
                f"migration {migration.name} is refused: {refusal(error)}. It is not recorded: mend the "
                "cause and run `python -m schemas apply` again, which repeats it from its beginning"
            ) from None


def _applied(client: Client) -> dict[int, tuple[str, str]]:
    """Name and digest of what was applied, by number."""
    if not client.execute(
        "SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'"
    ):
        return {}
    rows = client.execute("SELECT number, name, digest FROM schema_migrations FINAL ORDER BY number")
    return {number: (name, digest) for number, name, digest in rows}


def _changed(migrations: Sequence[Migration], applied: Mapping[int, tuple[str, str]]) -> Iterator[str]:
    for migration in migrations:
        if migration.number in applied and applied[migration.number] != (migration.name, migration.digest):
            name = applied[migration.number][0]
            yield f"{migration.name} was changed after it was applied (as {name}): write a new migration instead"
