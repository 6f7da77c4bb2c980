"""What a ClickHouse table consists of, how two differ, and which of the differences may be mended without asking."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from clickhouse_driver import Client

from schemas.properties import read_comment

_SETTING: Final = re.compile(r"(\w+) = ('(?:[^'\\]|\\.)*'|[^,\s]+)")
_DAYS_OF: Final = {"Day": 1, "Week": 7, "Month": 30.4375, "Quarter": 91.3125, "Year": 365.25}
_TTL: Final = re.compile(rf"toDateTime\(\w+\) \+ toInterval({'|'.join(_DAYS_OF)})\((\d+)\)")
_INTERVAL: Final = re.compile(rf"toInterval({'|'.join(_DAYS_OF)})\((\d+)\)")
_ENGINE: Final = re.compile(r"(?:Replicated|Shared)?(\w+)(?:\((.*?)\))?(?: |$)")


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table's parts by name, each as the text that an ALTER TABLE … ADD takes after the name."""

    columns: Mapping[str, str]
    codecs: Mapping[str, str]
    projections: Mapping[str, str]
    indexes: Mapping[str, str]
    settings: Mapping[str, str]
    layout: Mapping[str, str]
    ttl: str
    properties: Mapping[str, str] = field(default_factory=dict)  # materialized ones, by column


@dataclass(frozen=True, slots=True)
class Differences:
    """How a table differs from the contract.

    lacking: each text with the command that adds it. conflicts: what nobody may change silently. notes: what an
    operator added, or keeps longer; it stays.
    """

    lacking: Mapping[str, str] = field(default_factory=dict)
    conflicts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join((*(f"lacks {what}" for what in self.lacking), *self.conflicts, *self.notes))


def exists(client: Client, table: str) -> bool:
    """Whether the connection's database has a table or view of this name."""
    return bool(_rows(client, "SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name", table))


def read_shape(client: Client, table: str) -> TableShape:
    """The shape of a table that exists."""
    ((partition_key, sorting_key, full),) = _rows(
        client,
        "SELECT partition_key, sorting_key, engine_full FROM system.tables WHERE database = currentDatabase() AND name",
        table,
    )
    columns = _rows(
        client,
        "SELECT name, type, default_kind, default_expression, compression_codec, comment FROM system.columns "
        "WHERE database = currentDatabase() AND table",
        table,
    )
    projections = _rows(
        client, "SELECT name, query FROM system.projections WHERE database = currentDatabase() AND table", table
    )
    indexes = _rows(
        client,
        "SELECT name, expr, type_full, granularity FROM system.data_skipping_indices "
        "WHERE database = currentDatabase() AND table",
        table,
    )
    body, _, settings = full.partition(" SETTINGS ")
    return TableShape(
        columns={name: f"{kind} {how} {value}".strip() for name, kind, how, value, *_ in columns},
        codecs={name: codec for name, *_, codec, _ in columns},
        properties={name: entry.name for name, *_, comment in columns if (entry := read_comment(name, comment))},
        projections={name: f"({query})" for name, query in projections},
        indexes={name: f"{expr} TYPE {kind} GRANULARITY {count}" for name, expr, kind, count in indexes},
        settings=dict(_SETTING.findall(settings)),
        layout={
            "engine": _engine(body),
            "partition key": partition_key,
            "sorting key": sorting_key,
        },
        ttl=body.partition(" TTL ")[2],
    )


def compare(wanted: TableShape, actual: TableShape) -> Differences:
    """How `actual` differs from the contract's shape."""
    lacking = {
        **_lacking("COLUMN", _with_codecs(wanted), actual.columns),
        # A value that an operator chose is left alone, but for a shorter window, on which a promise rests.
        **{
            f"setting {name} = {value}": f"MODIFY SETTING {name} = {value}"
            for name, value in wanted.settings.items()
            if name not in actual.settings or _is_shorter(name, actual.settings[name], value)
        },
        # After the settings: some are what allows a projection.
        **_lacking("PROJECTION", wanted.projections, actual.projections),
        **_lacking("INDEX", wanted.indexes, actual.indexes),
    }
    conflicts = [
        *_changed("", wanted.columns, actual.columns),
        *_changed("projection ", wanted.projections, actual.projections),
        *_changed("index ", wanted.indexes, actual.indexes),
        *_changed("", wanted.layout, actual.layout),
    ]
    notes = [
        f"column {name} is the property {actual.properties[name]}"
        if name in actual.properties
        else f"column {name} is the operator's own"
        for name in actual.columns
        if name not in wanted.columns
    ]
    longer, note = _compare_ttl(wanted.ttl, actual.ttl)
    return Differences(lacking | longer, tuple(conflicts), (*notes, *note))


def _is_shorter(setting: str, actual: str, wanted: str) -> bool:
    return setting.endswith("deduplication_window") and int(actual) < int(wanted)


def days_kept(ttl: str) -> float | None:
    """For how many days a TTL expression keeps a row; None when it is of another form than the contract's."""
    match = _TTL.fullmatch(ttl)
    return int(match[2]) * _DAYS_OF[match[1]] if match else None


def ttl_days(engine_full: str) -> float | None:
    """For how many days a table keeps a row at least; None: for ever. Raises ValueError for a TTL without a number."""
    ttl = engine_full.partition(" SETTINGS ")[0].partition(" TTL ")[2]
    deletes = [rule for rule in ttl.split(", ") if rule and " TO " not in rule and " RECOMPRESS " not in rule]
    days = [int(count) * _DAYS_OF[unit] for rule in deletes for unit, count in _INTERVAL.findall(rule)]
    if deletes and not days:
        raise ValueError(f"for how long rows are kept cannot be read from TTL {ttl}")
    return min(days, default=None)


def _compare_ttl(wanted: str, actual: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """What makes rows live as long as the contract says, and what to tell of a table that keeps them longer."""
    if wanted == actual:
        return {}, ()
    if not wanted:
        return {}, (f"rows expire by TTL {actual}, the contract keeps them for ever",)
    if not actual:
        return {}, ("has no TTL: rows are kept for ever",)
    asked, found = days_kept(wanted), days_kept(actual)
    if asked is None or found is None:
        return {}, (f"has a TTL of its own: {actual}",)
    if found > asked - 1:  # two years are 730 or 731 days
        shorten = f"ALTER TABLE … MODIFY TTL {wanted}"
        return {}, (f"keeps rows for {found:g} days, settings say {asked:g}: left; to delete the rest, {shorten}",)
    return {f"TTL {wanted} (has {actual})": f"MODIFY TTL {wanted}"}, ()


def read_view(client: Client, view: str) -> tuple[Any, ...]:
    """A view's query and its columns: what must be equal for two views to be the same."""
    ((query,),) = _rows(client, "SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name", view)
    columns = _rows(
        client,
        "SELECT groupArray((name, type)) FROM system.columns WHERE database = currentDatabase() AND table",
        view,
    )
    return query, columns


def _engine(full: str) -> str:
    """The engine and its columns, the same for a replicated table, whose path and replica are quoted."""
    match = _ENGINE.match(full)
    if match is None:
        return full
    name, arguments = match.groups()
    columns = [argument for argument in (arguments or "").split(", ") if argument and not argument.startswith("'")]
    return f"{name}({', '.join(columns)})"


def _with_codecs(shape: TableShape) -> dict[str, str]:
    return {name: f"{text} {shape.codecs[name]}".strip() for name, text in shape.columns.items()}


def _lacking(kind: str, wanted: Mapping[str, str], actual: Mapping[str, str]) -> dict[str, str]:
    return {
        f"{kind.lower()} {name}": f"ADD {kind} IF NOT EXISTS {name} {text}"
        for name, text in wanted.items()
        if name not in actual
    }


def _changed(kind: str, wanted: Mapping[str, str], actual: Mapping[str, str]) -> list[str]:
    return [
        f"{kind}{name} is {actual[name] or 'none'}, should be {text or 'none'}"
        for name, text in wanted.items()
        if name in actual and actual[name] != text
    ]


def _rows(client: Client, query: str, table: str) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = client.execute(f"{query} = %(table)s", {"table": table})
    return rows
