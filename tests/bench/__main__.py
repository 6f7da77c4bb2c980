"""`python -m tests.bench`: figures, one JSON object a line on standard output; progress on standard error.

Whatever is compared is measured in turn, in three rounds: each line has the median, the lowest and the highest, and
says whether others were busy on the machine meanwhile.

About 12 minutes on two quiet cores. --long adds 16: a million sessions (8), one very busy visitor (8). --all is every
line, 37 minutes: those of --long, the highest rate that is held, ClickHouse's own part, two workers, a model of more.
--questions measures none of these, but what the query patterns cost on ten million generated rows: three minutes.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from docker.local.process import ServerFailedError
from tests.bench import ask, collector, database, end_to_end, hot_key, scale_out, sinks, streams, sustained
from tests.bench import long as long_sessions
from tests.bench.lines import Line, WrongOutputError
from tests.bench.machine import free_memory_mb
from tests.bench.sizes import FULL, QUICK, Sizes
from tests.bench.table import RunFileError, table_of
from tests.bench.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Group:
    """Lines measured together: what they are called, and what measures the wanted ones."""

    names: tuple[str, ...]
    lines: Callable[[Workbench, frozenset[str]], Iterator[Line]]


GROUPS: Final = (
    Group(streams.NAMES, streams.lines),
    Group(sinks.NAMES, sinks.lines),
    Group(collector.NAMES, collector.lines),
    Group(end_to_end.NAMES, end_to_end.lines),
)
LONG_GROUPS: Final = (Group(long_sessions.NAMES, long_sessions.lines), Group(hot_key.NAMES, hot_key.lines))
FURTHER_GROUPS: Final = (
    Group(sustained.NAMES, sustained.lines),
    Group(database.NAMES, database.lines),
    Group(scale_out.NAMES, scale_out.lines),
)
EVERY_GROUP: Final = (*GROUPS, *LONG_GROUPS, *FURTHER_GROUPS)
console = Console(stderr=True)
app = typer.Typer(add_completion=False)


@app.command(help=__doc__)
def run(
    only: Annotated[list[str] | None, typer.Option(help="names of lines, repeated or comma separated")] = None,
    long: Annotated[
        bool, typer.Option("--long", help="the lines about a million sessions and about one very busy visitor too")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="every line there is")] = False,
    sessions: Annotated[
        int | None, typer.Option(min=20_000, help="live sessions of the lines with 1m in their names; 1,000,000")
    ] = None,
    questions: Annotated[
        bool, typer.Option("--questions", help="what the query patterns cost on ten million rows, and nothing else")
    ] = False,
    rows: Annotated[int, typer.Option(min=100_000, help="of --questions")] = ask.ROWS,
    quick: Annotated[
        bool, typer.Option("--quick", help="small sizes: checks that all works, figures mean nothing")
    ] = False,
    rounds: Annotated[int | None, typer.Option(min=1, help="rounds; 3, with --quick 1")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write the lines and the machine's state here")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", help="measure nothing: print the README's table from a file of --json")
    ] = None,
) -> None:
    """Exits 0 when every line was measured and every output was right, 1 otherwise, 2 for an unknown name."""
    if table is not None:
        _print_table(table)
        return
    if questions:
        _ask(min(rows, ask.QUICK_ROWS) if quick else rows)
        return
    groups = groups_of(every or bool(only), long)
    wanted = _wanted(only, groups)
    sizes = QUICK if quick else FULL
    sizes = replace(sizes, rounds=rounds or sizes.rounds, many_sessions=_sessions(sessions, sizes.many_sessions))
    load_before, started = os.getloadavg()[0], time.time()
    printed: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as home:
        ended_well = _measure(groups, wanted, Path(home), sizes, printed)
    seconds = round(time.time() - started)
    _tell_the_end(seconds, printed)
    if json_file is not None:
        about = {
            "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "seconds": seconds,
            "cores": os.cpu_count(),
            "load_average_before": load_before,
            "rounds": sizes.rounds,
            "quick": quick,
        }
        json_file.write_text(json.dumps(about | {"lines": [line.as_dict() for line in printed]}, indent=2) + "\n")
    if not ended_well:
        raise typer.Exit(1)


def groups_of(every: bool, long: bool) -> tuple[Group, ...]:
    """Those of a run with these options."""
    if every:
        return EVERY_GROUP
    return (*GROUPS, *LONG_GROUPS) if long else GROUPS


def _sessions(asked: int | None, usual: int) -> int:
    """How many, if they have room: a machine that swaps shows nothing, or ends what it likes."""
    if asked is None:
        return usual
    needed, free = asked / 1e6 * long_sessions.MB_PER_MILLION, free_memory_mb()
    if needed > free:
        console.print(f"{asked:,} sessions take about {needed:,.0f} MiB, {free:,.0f} are free")
        raise typer.Exit(2)
    return asked


def _print_table(path: Path) -> None:
    try:
        print(table_of(path))
    except (OSError, RunFileError) as error:
        console.print(str(error), markup=False, style="red")
        raise typer.Exit(2) from error


def _ask(rows: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as home, Workbench(Path(home), FULL, console) as bench:
        too_much = []
        for answer in ask.answers(bench, rows):
            print(answer.as_json(), flush=True)
            if not answer.ok:
                too_much.append(answer.question)
    if too_much and rows >= ask.ROWS:  # of fewer rows one granule is more than the share
        console.print(f"more than {ask.SHARE_MAX:.0%} of the rows: {', '.join(too_much)}", markup=False, style="red")
        raise typer.Exit(1)


def _tell_the_end(seconds: int, printed: Sequence[Line]) -> None:
    busy = [line.name for line in printed if line.busy]
    console.print(f"{len(printed)} lines in {seconds // 60} min {seconds % 60} s")
    if busy:
        console.print(f"[yellow]others were busy on this machine meanwhile, not to be believed: {', '.join(busy)}[/]")


def _wanted(only: Sequence[str] | None, groups: Sequence[Group]) -> frozenset[str]:
    known = [name for group in groups for name in group.names]
    asked = [name for option in only or () for name in option.split(",") if name]
    if unknown := sorted(set(asked) - set(known)):
        console.print(f"no such line: {', '.join(unknown)}; there are {', '.join(known)}")
        raise typer.Exit(2)
    return frozenset(asked or known)


def _measure(groups: Sequence[Group], wanted: frozenset[str], home: Path, sizes: Sizes, printed: list[Line]) -> bool:
    """Print the wanted lines as they come; False when a group failed, which does not keep the others from running."""
    ended_well = True
    with Workbench(home, sizes, console) as bench:
        for group in groups:
            if wanted.isdisjoint(group.names):
                continue
            try:
                for line in group.lines(bench, wanted):
                    if line.name in wanted:
                        printed.append(line)
                        print(line.as_json(), flush=True)
            except Exception as error:  # whatever it is, it is this group's
                ended_well = False
                if not isinstance(error, WrongOutputError | ServerFailedError):
                    console.print_exception(max_frames=8)
                failed = ", ".join(name for name in group.names if name in wanted)
                console.print(f"failed: {failed}: {error}", markup=False, style="red")
    return ended_well


if __name__ == "__main__":
    app()
