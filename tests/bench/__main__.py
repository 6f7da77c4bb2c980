"""`python -m tests.bench`: figures, one JSON object a line on standard output; progress on standard error."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from docker.local.process import ServerFailedError
from tests.bench import collector, end_to_end, long, sinks, streams
from tests.bench.lines import Line, WrongOutputError
from tests.bench.sizes import FULL, QUICK
from tests.bench.workbench import Workbench

_BUSY: Final = 0.5  # load average a core above which figures are not to be believed


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
LONG_GROUPS: Final = (Group(long.NAMES, long.lines),)
console = Console(stderr=True)
app = typer.Typer(add_completion=False)


@app.command(help=__doc__)
def run(
    only: Annotated[list[str] | None, typer.Option(help="names of lines, repeated or comma separated")] = None,
    long: Annotated[bool, typer.Option("--long", help="the lines about a million sessions too")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="small sizes: checks that all works, figures mean nothing")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write the lines and the machine's state here")
    ] = None,
) -> None:
    """Exits 0 when every line was measured and every output was right, 1 otherwise, 2 for an unknown name."""
    groups = (*GROUPS, *LONG_GROUPS) if long or only else GROUPS
    wanted = _wanted(only, groups)
    load_before = os.getloadavg()[0]
    if load_before > _BUSY * (os.cpu_count() or 1) and not quick:
        console.print(f"[yellow]the load average is {load_before:.1f}: these figures will be too low[/]")
    started = time.time()
    printed: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as home:
        ended_well = _measure(groups, wanted, Path(home), quick, printed)
    if json_file is not None:
        about = {
            "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "seconds": round(time.time() - started),
            "cores": os.cpu_count(),
            "load_average_before": load_before,
            "quick": quick,
        }
        json_file.write_text(json.dumps(about | {"lines": [line.as_dict() for line in printed]}, indent=2) + "\n")
    if not ended_well:
        raise typer.Exit(1)


def _wanted(only: Sequence[str] | None, groups: Sequence[Group]) -> frozenset[str]:
    known = [name for group in groups for name in group.names]
    asked = [name for option in only or () for name in option.split(",") if name]
    if unknown := sorted(set(asked) - set(known)):
        console.print(f"no such line: {', '.join(unknown)}; there are {', '.join(known)}")
        raise typer.Exit(2)
    return frozenset(asked or known)


def _measure(groups: Sequence[Group], wanted: frozenset[str], home: Path, quick: bool, printed: list[Line]) -> bool:
    """Print the wanted lines as they come; False when a group failed, which does not keep the others from running."""
    ended_well = True
    with Workbench(home, QUICK if quick else FULL, console) as bench:
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
