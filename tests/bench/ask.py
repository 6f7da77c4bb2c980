"""`make bench BENCH=--questions`: what the query patterns cost on millions of rows, on a ClickHouse of its own.

Prints one JSON object a question; what a question reads is the server's own account, so only milliseconds depend on
who else uses the machine. A look-up that reads more than `SHARE_MAX` of the rows fails the run.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from schemas.settings import Settings
from tests.bench.database_meter import bytes_per_row, wait_merged
from tests.bench.lines import believable, require_equal
from tests.bench.question_rows import TENANT, History
from tests.bench.questions import LINKS, SERVER_DEFAULTS, Question, Server, lookups, persons, ranges
from tests.bench.workbench import DATABASE, Workbench

ROWS: Final = 10_000_000
QUICK_ROWS: Final = 200_000
SHARE_MAX: Final = 0.01  # of all rows, for what few granules hold; for each pass over columns
_BLOCKS: Final = 20  # the history comes in so many INSERTs
_NEWEST_INSERTS: Final = 12  # the last minute at 2,000 events/s: merges have not come to it
_NEWEST_ROWS: Final = 10_000  # in each
_UNPROJECTED: Final = (
    "SELECT countIf(empty(projections)) FROM system.parts "
    "WHERE active AND database = currentDatabase() AND table = 'events'"
)
_TIMES: Final = 3  # each question is asked so often: the least time counts


@dataclass(frozen=True, slots=True)
class Answer:
    """A question's cost. share_percent: of the tenant's rows. by_default: rows read with ClickHouse's own settings."""

    question: str
    rows_read: int
    share_percent: float
    milliseconds: float
    memory_mb: float
    by_default: int
    ok: bool

    def as_json(self) -> str:
        """The line as it is printed."""
        cut = {name: believable(value) if isinstance(value, float) else value for name, value in asdict(self).items()}
        return json.dumps(cut)


def answers(bench: Workbench, rows: int) -> Iterator[Answer]:
    """Fill a table, then ask everything. Raises WrongOutputError when rows are missing."""
    bench.create_tables(Settings.model_validate({}))
    asked = Server(bench.clickhouse.http_url, DATABASE)
    fill(bench, asked, rows)
    of_tenant = int(asked.text(f"SELECT count() FROM events WHERE tenant_id = '{TENANT}'"))
    with bench.stage("link visitors"):
        asked.ask(LINKS)
    for question in (*ranges(asked), *lookups(asked), *persons(asked)):
        yield _answer(asked, question, rows, of_tenant)


def fill(bench: Workbench, server: Server, rows: int) -> None:
    """A history that is merged, then the newest rows, which are not."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    history = History(rows, int(today.timestamp() * 1000))
    newest = min(_NEWEST_ROWS, rows // 100)
    older = rows - _NEWEST_INSERTS * newest
    # A part that was merged, and so has projections, is not merged with one that was not: all of them at once.
    server.ask("SYSTEM STOP MERGES events")
    began = time.monotonic()
    with bench.stage(f"make {older:,} rows"):
        for block in range(_BLOCKS):
            first = older * block // _BLOCKS
            server.ask(history.insert(first, older * (block + 1) // _BLOCKS - first), {"max_insert_threads": 2})
    loaded_s = time.monotonic() - began
    with bench.stage("merge them"):
        server.ask("SYSTEM START MERGES events")
        server.ask("OPTIMIZE TABLE events FINAL")
        wait_merged(server.text)
    with bench.stage(f"make the newest {rows - older:,}"):
        server.ask("SYSTEM STOP MERGES events")
        for number in range(_NEWEST_INSERTS):
            server.ask(history.insert(older + number * newest, newest))
    require_equal("parts without projections", server.text(_UNPROJECTED), str(_NEWEST_INSERTS))
    require_equal("rows", server.text("SELECT count() FROM events"), str(rows))
    size = bytes_per_row(server.text, "events")
    bench.say(
        f"  {size['bytes']:.0f} bytes a row, {size['projection_bytes']:.0f} of them projections, "
        f"{size['active_parts']:.0f} parts; {loaded_s / older * 1e6:.1f} µs a row to make and insert"
    )


def _answer(server: Server, question: Question, rows: int, of_tenant: int) -> Answer:
    costs = [server.ask(question.query)[1] for _ in range(_TIMES)]
    by_default = server.ask(question.query, SERVER_DEFAULTS)[1]
    read = costs[0].rows_read
    return Answer(
        question=question.name,
        rows_read=read,
        share_percent=100 * read / of_tenant,
        milliseconds=min(cost.milliseconds for cost in costs),
        memory_mb=max(cost.memory_mb for cost in costs),
        by_default=by_default.rows_read,
        ok=not question.needed or read <= SHARE_MAX * rows * question.passes,
    )
