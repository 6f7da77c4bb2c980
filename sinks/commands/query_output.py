"""Where answers go: a terminal, a pipe, a file; a piece at a time."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Final

import typer
from rich.console import Console
from rich.table import Table

from schemas.command_line import plain
from sinks.commands.console import PIPE_COLUMNS, console
from sinks.query.answers import Form, cells
from sinks.query.errors import QuestionError

_OF_SUFFIX: Final = {".csv": Form.CSV, ".json": Form.JSON, ".parquet": Form.PARQUET}


@dataclass(frozen=True, slots=True)
class Destination:
    """`path`: None is standard output."""

    form: Form
    path: Path | None


def destination(form: Form | None, path: Path | None, *, force: bool) -> Destination:
    """Where to, and how. Raises QuestionError when that cannot be, before anything is asked."""
    chosen = form or (_OF_SUFFIX.get(path.suffix, Form.TABLE) if path else Form.TABLE)
    if path is None:
        if chosen is Form.PARQUET and sys.stdout.isatty():
            raise QuestionError("format", "parquet is not for a terminal: add --output FILE")
        return Destination(chosen, None)
    if path.is_dir():
        raise QuestionError("output", f"{path} is a folder")
    if not path.parent.is_dir():
        raise QuestionError("output", f"{path.parent} is no folder")
    if path.exists() and not force:
        raise QuestionError("output", f"{path} exists; --force writes over it")
    return Destination(chosen, path)


def write(pieces: Iterable[bytes], target: Destination) -> None:
    """As the server wrote it."""
    with _opened(target.path) as out:
        for piece in pieces:
            out.write(piece)


def write_table(pieces: Iterable[bytes], target: Destination, rows_max: int) -> None:
    """Lines of JSON as a table. What is beyond `rows_max` is said and not shown."""
    lines = _lines(pieces)
    # Of a question without a row, the server may leave out the names too.
    names = cells(next(lines, b"[]"))
    table = Table(*names)
    shown = 0
    for line in islice(lines, rows_max):
        table.add_row(*map(plain, cells(line)))
        shown += 1
    if target.path is None:
        console.print(table)
    else:
        with _opened(target.path) as out:
            page = Console(width=PIPE_COLUMNS, markup=False, emoji=False, highlight=False)
            with page.capture() as captured:
                page.print(table)
            out.write(captured.get().encode())
    if not shown:
        typer.echo("no rows: nothing fits in this range", err=True)
    elif next(lines, None) is not None:
        typer.echo(f"only the first {shown:,} rows; --rows shows more, --format csv --output FILE has all", err=True)


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest


@contextmanager
def _opened(path: Path | None) -> Iterator[IO[bytes]]:
    """Standard output, or a file that is there when it is whole, and not before."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as out:
            yield out
        partial.replace(path)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()
