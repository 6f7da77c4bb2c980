"""The lines about ClickHouse itself under a backlog from the sink: its CPU until all merges have ended, its disk."""

from collections.abc import Iterator
from typing import Final

from tests.bench.database_meter import Ask, DatabaseMeter, bytes_per_row, wait_merged
from tests.bench.lines import Line
from tests.bench.rounds import Reading, Readings, in_turn, make_line
from tests.bench.rows import TABLE, EventsTable
from tests.bench.sinks import Filling
from tests.bench.workbench import Workbench

NAMES: Final = ("clickhouse_cpu_us_per_row", "clickhouse_bytes_per_row")


class Backlog:
    """The arm: the table filled by the sink, and watched until nothing is merged any more."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.filling = Filling(bench, "database")

    def measure(self, number: int) -> Reading:
        """One round."""
        bench, filling, ask = self._bench, self.filling, text(self.filling.table)
        assert bench.clickhouse.pid is not None
        wait_merged(ask)
        meter = DatabaseMeter(bench.clickhouse.pid, ask)
        with filling.by_sink(number) as reading:
            at_once = meter.figures(filling.total)
            with bench.stage("wait for the end of merges"):
                wait_merged(ask)
            figures = meter.figures(filling.total) | bytes_per_row(ask, TABLE)
        figures |= {"batch": reading.figures["batch"], "written_us": at_once["database_us"]}
        return Reading(figures, reading.others_cpu)


def text(table: EventsTable) -> Ask:
    """What asks the table's server."""
    return lambda query: "\n".join("\t".join(map(str, row)) for row in table.ask(query))


def lines(bench: Workbench, _wanted: frozenset[str]) -> Iterator[Line]:
    """All of `NAMES`."""
    backlog = Backlog(bench)
    found = in_turn({"backlog": backlog.measure}, bench.sizes.rounds, bench.others_before)["backlog"]
    yield from summarise(found, backlog.filling.total)


def summarise(found: Readings, rows: int) -> Iterator[Line]:
    """The lines about so many rows."""
    note = (
        f"user and system time of the server until no merge was left, by the {rows:,} rows of 39 columns that the sink "
        f"had written, {found.median('batch'):,.0f} a batch: {found.median('merging_us'):.1f} µs of it merges "
        f"({found.median('merges'):.0f}, each row merged {found.median('merged_rows'):.1f} times); "
        f"{found.median('parts'):.0f} parts made by {found.median('inserts'):.0f} INSERTs; "
        f"{found.median('written_us'):.1f} µs a row when the last row was there"
    )
    yield make_line(NAMES[0], "µs", found, "database_us", note=note)
    note = (
        f"active parts ({found.median('active_parts'):.0f}) of {rows:,} rows after merges, by their rows; "
        f"{found.median('projection_bytes'):.0f} bytes of it projections"
    )
    yield make_line(NAMES[1], "bytes", found, "bytes", note=note)
