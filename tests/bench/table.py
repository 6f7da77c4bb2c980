"""The table of the README's section "How fast", from the file of a run: figures are never copied by hand."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.bench.cells import Cell, Lines
from tests.bench.table_rows import ROWS

_HEAD: Final = "| line | figure | against |\n|---|---|---|"


class RunFileError(ValueError):
    """The file is not one that `--json` has written."""


def table_of(path: Path) -> str:
    """The Markdown of a run's file. Raises RunFileError, and OSError."""
    try:
        run = json.loads(path.read_text())
        lines = {line["name"]: line for line in run["lines"]}
        return table(run, lines)
    except (ValueError, KeyError, TypeError) as error:
        raise RunFileError(f"{path} is no file of `python -m tests.bench --json`: {error!r}") from error


def table(run: Mapping[str, Any], lines: Lines) -> str:
    """A row for each line that was measured; a row that others disturbed says so."""
    rows = [row for title, names, figure, against in ROWS if (row := _row(title, names, figure, against, lines))]
    return "\n".join([*_caption(run, lines), "", _HEAD, *rows])


def _caption(run: Mapping[str, Any], lines: Lines) -> Iterator[str]:
    rounds = max((line["rounds"] for line in lines.values()), default=1)
    worst = max((line["others_cpu"] for line in lines.values()), default=0.0)
    busy = sum(line["busy"] for line in lines.values())
    yield (
        f"{run['started_at'][:10]}, {run['cores']} cores, {run['seconds'] / 60:.0f} minutes: medians of {rounds} "
        f"rounds (lowest to highest). Processes of others used up to {worst * 100:.0f} % of the machine's CPU"
        + (f"; {busy} of {len(lines)} lines were disturbed by that and are marked." if busy else ".")
    )
    if run["quick"]:
        yield "**Of a run with `--quick`: these figures mean nothing.**"


def _row(title: str, names: tuple[str, ...], figure: Cell, against: Cell, lines: Lines) -> str | None:
    if not all(name in lines for name in names):
        return None
    mark = " **(busy machine)**" if any(lines[name]["busy"] for name in names) else ""
    return f"| {title} | {figure(lines)}{mark} | {against(lines)} |"
