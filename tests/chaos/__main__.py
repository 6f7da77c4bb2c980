"""`make chaos`: prove that nothing is lost and nothing doubled, whatever is killed, suspended or away; and that the
proof would see it.

Prints what happens on standard error, and on standard output one JSON object a run, then one for all of them. Exits 1
when anything is wrong, or when a negative control finds nothing wrong.
"""

import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from docker.local.packages import fetch
from tests.chaos.controls import CONTROLS
from tests.chaos.controls import SCALE as CONTROL_SCALE
from tests.chaos.counters import CERTAIN, MECHANISMS
from tests.chaos.faults import EVERY
from tests.chaos.proof import Outcome, Scale, prove

_SUMMED: Final = (
    "kills", "accepted", "unsure", "stored", "lost", "doubled", "unknown", "wrong_events", "sessions", "wrong_sessions",
    "identities", "wrong_identities", "dead_letters", "wrong_dead_letters", "wrong_answers", "wrong_exits", "not_fired",
    "repeats",
)  # fmt: skip
_RUNS_FOR_MECHANISMS: Final = 4  # in so many no reading of a counter can be missed each time
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(stderr=True, highlight=False)


@app.command()
def main(
    runs: Annotated[int, typer.Option(min=0, help="runs, each with topics and tables of its own")] = 4,
    events: Annotated[int, typer.Option(min=1, help="events accepted in a run, at least")] = 250_000,
    kills: Annotated[int, typer.Option(min=0, help="processes killed in a run, at least")] = 30,
    rate: Annotated[float, typer.Option(min=1, help="events a second that clients send")] = 2_000,
    seed: Annotated[int | None, typer.Option(help="of the first run, the others follow; default: by chance")] = None,
    controls: Annotated[bool, typer.Option(help="also the negative controls")] = True,
    home: Annotated[Path | None, typer.Option(help="keep data and logs here")] = None,
) -> None:
    """Run the proof."""
    first = random.SystemRandom().randrange(10**6) if seed is None else seed
    console.print(f"seed {first}; again with: make chaos CHAOS='--seed {first}'")
    for package in ("kafka", "clickhouse"):
        fetch(package)
    scale = Scale(events, kills, rate, outage_s=30.0, freeze_s=30.0, pause_s=6.0)
    with tempfile.TemporaryDirectory(prefix="tally-chaos-") as folder:
        place = home or Path(folder)
        outcomes = [_run(place, number, first + number, scale) for number in range(runs)]
        blind = _controls(place, first) if controls else []
    summary = _summary(outcomes, first, blind)
    print(json.dumps(summary))
    wrong = {outcome.seed: outcome.verdict.wrong for outcome in outcomes if outcome.verdict.wrong}
    untried = [name for name in CERTAIN if runs >= _RUNS_FOR_MECHANISMS and not summary[name]]
    _tell_what_fired(outcomes)
    if wrong or blind or untried:
        console.print(
            f"[red]not proven[/]: wrong {wrong}; controls not seen as they must be: {blind}; caught nothing: {untried}"
        )
        raise SystemExit(1)
    console.print(
        f"[green]nothing lost, nothing doubled[/] in {summary['accepted']:,} events, {summary['kills']} kills"
    )


def _run(home: Path, number: int, seed: int, scale: Scale) -> Outcome:
    """One run, on servers of its own."""
    console.rule(f"run {number + 1}, seed {seed}")
    here = home / f"run-{number}"
    with KafkaServer(here / "kafka") as kafka, ClickHouseServer(here / "clickhouse") as clickhouse:
        outcome = prove(here, kafka, clickhouse, f"run_{number}", seed, scale, tell=console.print)
    print(json.dumps(outcome.figures()), flush=True)
    if outcome.verdict.wrong:
        console.print(f"[red]wrong[/]: {outcome.verdict.wrong}\n{outcome.verdict.explained()}", markup=False)
    return outcome


def _controls(home: Path, seed: int) -> list[str]:
    """The negative controls that did not see what was wrong, or saw something else."""
    console.rule("negative controls")
    blind: list[str] = []
    here = home / "controls"
    with KafkaServer(here / "kafka") as kafka, ClickHouseServer(here / "clickhouse") as clickhouse:
        for number, (name, control) in enumerate(CONTROLS.items()):
            place = here / f"control-{number}"
            outcome = prove(
                place,
                kafka,
                clickhouse,
                f"control_{number}",
                seed,
                CONTROL_SCALE,
                sabotage=control.sabotage,
                meddle=control.meddle,
            )
            surprises = control.surprises(outcome.verdict.wrong)
            console.print(
                f"{name}: {'NOT SEEN ' + str(surprises) if surprises else 'seen'}, wrong {outcome.verdict.wrong}"
            )
            if surprises:
                blind.append(name)
    return blind


def _tell_what_fired(outcomes: list[Outcome]) -> None:
    """How often each kind of fault came about, each mechanism caught something, each process ended by itself."""
    fired = sum((Counter(outcome.fired) for outcome in outcomes), Counter[str]())
    for name in EVERY if outcomes else ():
        console.print(f"{fired[name]:>6}  {name}")
    caught = sum((Counter(outcome.counted) for outcome in outcomes), Counter[str]())
    exits = sum((Counter(outcome.exits) for outcome in outcomes), Counter[str]())
    console.print(f"caught: {dict(caught)}; ended by themselves, explained or not: {dict(exits)}")


def _summary(outcomes: list[Outcome], seed: int, blind: list[str]) -> dict[str, Any]:
    """All runs together."""
    figures = [outcome.figures() for outcome in outcomes]
    sums = {name: sum(figure[name] for figure in figures) for name in _SUMMED}
    tables = {name: dict(sum((Counter(figure[name]) for figure in figures), Counter())) for name in ("fired", "exits")}
    counted = {name: sum(outcome.counted[name] for outcome in outcomes) for name in MECHANISMS}
    return {"seed": seed, "runs": len(outcomes), **sums, **tables, **counted, "blind_controls": blind}


if __name__ == "__main__":
    sys.exit(app())
