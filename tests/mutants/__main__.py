"""`make mutants`: plant faults one at a time, run the tests that must turn red, and say which faults survive.

Works on a copy of the tree as it is, committed or not, with fast tests alone: no servers. Prints a line a fault. Exits
1 when one survives, when its text does not stand in its file exactly once, or when its tests are red without it.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from docker.local import PROJECT_ROOT
from tests.mutants.every import EVERY
from tests.mutants.fault import Fault, StaleError
from tests.mutants.trial import Result, Trial, Verdict, tests_of

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(highlight=False, soft_wrap=True, markup=False)


@app.command()
def main(
    only: Annotated[list[str] | None, typer.Option(help="faults whose name begins so, again for more")] = None,
    listed: Annotated[bool, typer.Option("--list", help="print names and guarantees, run nothing")] = False,
    verbose: Annotated[bool, typer.Option(help="print the end of what pytest said of every fault")] = False,
) -> None:
    """Run them."""
    chosen = [fault for fault in EVERY if not only or fault.name.startswith(tuple(only))]
    if not chosen:
        console.print(f"no fault is called {' or '.join(only or ())}; --list names them")
        sys.exit(2)
    if listed:
        for fault in chosen:
            console.print(f"{fault.name}\n    {fault.guarantee}\n    {fault.file}")
        return
    with tempfile.TemporaryDirectory(prefix="tally-mutants-") as home:
        sys.exit(_run(Trial(PROJECT_ROOT, Path(home)), chosen, verbose))


def _run(trial: Trial, faults: list[Fault], verbose: bool) -> int:
    started = time.monotonic()
    sound = trial.run(tests_of(faults))
    if sound.verdict is not Verdict.SURVIVED:
        console.print(f"the tests are not green without a fault:\n{sound.said}")
        return 1
    console.print(f"{len(faults)} faults; their tests are green without them ({sound.seconds:.0f} s)")
    wrong = []
    for number, fault in enumerate(faults, 1):
        result = _try(trial, fault)
        console.print(f"{number:3}/{len(faults)} {result.verdict.ljust(8)} {result.seconds:5.1f} s  {fault.name}")
        if result.verdict is not Verdict.KILLED:
            wrong.append(fault)
            console.print(f"        {fault.guarantee}")
        if verbose or result.verdict is Verdict.NOT_RUN:
            console.print(result.said)
    names = ", ".join(fault.name for fault in wrong) or "none"
    console.print(f"survivors: {names} ({len(faults)} faults, {time.monotonic() - started:.0f} s)")
    return 1 if wrong else 0


def _try(trial: Trial, fault: Fault) -> Result:
    try:
        return trial.try_fault(fault)
    except (StaleError, FileNotFoundError) as error:
        return Result(Verdict.NOT_RUN, 0.0, str(error))


if __name__ == "__main__":
    app()
