"""The table of the README's section "How fast", from the file of a run: figures are never copied by hand."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

Lines = Mapping[str, Mapping[str, Any]]
Cell = Callable[[Lines], str]
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
    rows = [row for title, names, figure, against in _ROWS if (row := _row(title, names, figure, against, lines))]
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


def _value(name: str, unit: str = "") -> Cell:
    """A line's figure with its spread."""
    return lambda lines: _spread(lines[name], "value", "low", "high") + (unit or f" {lines[name]['unit']}")


def _ratio(name: str, text: str) -> Cell:
    """A line's ratio with its spread, in a sentence that has "{}" in its place."""
    return lambda lines: text.format(_spread(lines[name], "ratio", "ratio_low", "ratio_high"))


def _joined(*cells: Cell) -> Cell:
    return lambda lines: "; ".join(cell(lines) for cell in cells)


def _text(text: str) -> Cell:
    return lambda _lines: text


def _spread(line: Mapping[str, Any], middle: str, low: str, high: str) -> str:
    found = _number(line[middle])
    return found if line["rounds"] == 1 else f"{found} ({_number(line[low])} to {_number(line[high])})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:g}"


_ROWS: Final[tuple[tuple[str, tuple[str, ...], Cell, Cell], ...]] = (
    (
        "one streams worker, one core, a backlog",
        ("streams_events_per_s", "streams_cpu_us_per_event", "streams_vs_copy"),
        _joined(_value("streams_events_per_s"), _value("streams_cpu_us_per_event", " µs of CPU an event")),
        _ratio("streams_vs_copy", "{} × the CPU of librdkafka consuming and producing the same bytes"),
    ),
    (
        "the same at a steady 2,000 events/s",
        ("streams_steady_cpu_us_per_event",),
        _value("streams_steady_cpu_us_per_event", " µs of CPU an event"),
        _ratio("streams_steady_cpu_us_per_event", "{} × its own CPU an event in a backlog: small chunks cost more"),
    ),
    (
        "a tuned per-event Faust agent (uvloop, Cython, orjson), the same bytes",
        ("streams_vs_stock_faust", "streams_steady_vs_stock_faust"),
        _joined(
            lambda lines: f"{_number(lines['streams_vs_stock_faust']['baseline'])} µs of CPU an event in a backlog",
            lambda lines: f"{_number(lines['streams_steady_vs_stock_faust']['baseline'])} µs at 2,000 events/s",
        ),
        _joined(
            _ratio("streams_vs_stock_faust", "{} × the worker's in a backlog"),
            _ratio("streams_steady_vs_stock_faust", "{} × at 2,000 events/s"),
        ),
    ),
    (
        "a worker with 1,000,000 live sessions (`BENCH=--long`)",
        ("worker_rss_per_million_sessions_mb", "restore_1m_s"),
        _joined(
            _value("worker_rss_per_million_sessions_mb"),
            _value("restore_1m_s", " s from start to ready, restored from the changelog"),
        ),
        _text(""),
    ),
    (
        "collector, 100 events a request, one core",
        ("collector_events_per_s", "collector_cpu_us_per_event"),
        _joined(_value("collector_events_per_s"), _value("collector_cpu_us_per_event", " µs of CPU an event")),
        _text(""),
    ),
    (
        "collector, one event a request",
        ("collector_vs_bare",),
        _value("collector_vs_bare", " µs of CPU a request"),
        _ratio("collector_vs_bare", "{} × an aiohttp handler that only reads the body"),
    ),
    (
        "sink, one core",
        ("sink_rows_per_s", "sink_cpu_us_per_row", "sink_vs_insert", "sink_vs_kafka_engine"),
        _joined(_value("sink_rows_per_s"), _value("sink_cpu_us_per_row", " µs of its own CPU a row")),
        _joined(
            _ratio("sink_vs_insert", "{} × bare INSERTs of the same bytes"),
            _ratio("sink_vs_kafka_engine", "{} × ClickHouse's Kafka engine at the better of two settings"),
        ),
    ),
    *(
        (
            f"{since} → queryable, 2,000 events/s, everything on the same cores",
            (f"{name}_p50_s", f"{name}_p95_s"),
            _joined(_value(f"{name}_p50_s", " s (p50)"), _value(f"{name}_p95_s", " s (p95)")),
            _text(""),
        )
        for since, name in (
            ("request due to be sent", "end_to_end_from_sending"),
            ("answer of the collector", "end_to_end"),
        )
    ),
)
