r"""Properties of events in SQL: how one is named, what it is read as, and which have a column of their own.

A name is a path: `cart.total` is the member `total` of the member `cart`. A dot or a backslash that is part of a key
has a backslash before it: `utm\.source`. What is in a list cannot be named. Pure.

`python -m schemas materialize` gives a property a column of `events`. The catalogue is the column's comment: it comes
and goes with the column, and no second place can disagree with it. Such a column is NULL where the property is missing,
null, of another type, or the document is no JSON; so is the expression that stands for one without a column. An event
whose number no 64-bit integer and no double can hold is no JSON to ClickHouse: all its properties read NULL.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

_MARK: Final = "materialized property "
_PREFIX: Final = "property_"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_]{1,48}")
_READABLE_CHARS: Final = 32
_HASH_CHARS: Final = 8
_OF_EVENTS: Final = "database = currentDatabase() AND table = 'events'"
_PARTS: Final = f"{_OF_EVENTS} AND active AND rows > 0"
_CATALOGUE: Final = f"SELECT name, comment FROM system.columns WHERE {_OF_EVENTS} AND startsWith(comment, '{_MARK}')"
# ClickHouse 26.7 computes a column that a part lacks from an empty document, when a filter has read the document before
# and another filter follows: so a column is asked only once every part has it.
_FILLED: Final = (
    f" AND ((SELECT count() FROM system.parts WHERE {_PARTS}) = 0 OR name IN (SELECT column FROM system.parts_columns "
    f"WHERE {_PARTS} GROUP BY column HAVING count() >= (SELECT count() FROM system.parts WHERE {_PARTS})))"
)
# A view with parameters has no list of columns: it has them all, if its query says so.
_HAD: Final = (
    " AND (name IN (SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {source}) "
    "OR {source} NOT IN (SELECT table FROM system.columns WHERE database = currentDatabase()) "
    "AND {source} IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View' "
    "AND position(as_select, 'asterisk_include_materialized_columns = 1') > 0))"
)


class PropertyType(StrEnum):
    """What a property is read as; any other value is NULL."""

    STRING = "String"  # a text; a number, true or false as JSON writes it; an object or a list as JSON text
    FLOAT64 = "Float64"  # a number, or a text that is one; neither NaN nor infinity
    INT64 = "Int64"  # the same without a fraction: 12, 12.0, "12"
    BOOL = "Bool"  # true, false, and these as texts
    DATETIME = "DateTime"  # a text with a date and a time in one of the usual forms; UTC where it names no zone


class AsksClickHouse(Protocol):
    """A connection: that of `clickhouse_driver`, or the sinks' own."""

    def execute(self, query: str) -> Any:
        """The rows of the answer."""


@dataclass(frozen=True, slots=True)
class MaterializedProperty:
    """A property with a column of `events`. project_id: the only project it is filled for; None: all."""

    name: str
    type: PropertyType
    column: str
    project_id: str | None = None

    @property
    def comment(self) -> str:
        """The column's entry in the catalogue."""
        return _MARK + json.dumps({"name": self.name, "type": self.type, "project_id": self.project_id})


def property_type(text: str) -> PropertyType:
    """The type of that name, whatever its case. Raises ValueError naming those that there are."""
    for kind in PropertyType:
        if kind.lower() == text.lower():
            return kind
    raise ValueError(f"no such type: {text!r}; there are {', '.join(PropertyType)}")


def property_keys(name: str) -> tuple[str, ...]:
    """The keys that a name is the path of. Raises ValueError."""
    keys, key, signs = [], "", iter(name)
    for sign in signs:
        if sign == ".":
            keys.append(key)
            key = ""
        elif sign == "\\":
            escaped = next(signs, "")
            if escaped not in (".", "\\"):
                raise ValueError(f"{name!r}: a backslash stands before a dot or a backslash that is part of a key")
            key += escaped
        else:
            key += sign
    keys.append(key)
    if "" in keys:
        raise ValueError(f"{name!r}: an empty key; a dot that is part of a key is written \\.")
    return tuple(keys)


def property_name(*keys: str) -> str:
    """The name of the property at the end of these keys."""
    return ".".join(key.replace("\\", "\\\\").replace(".", "\\.") for key in keys)


def sql_text(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def column_of(name: str, project_id: str | None = None) -> str:
    """The column for a property. Names that would be alike, too long or none for SQL are told apart by a hash."""
    if project_id is None and _PLAIN.fullmatch(name):
        return _PREFIX + name
    readable = re.sub(r"[^A-Za-z0-9]+", "_", name)[:_READABLE_CHARS].strip("_")
    digest = hashlib.sha256(json.dumps([name, project_id]).encode()).hexdigest()[:_HASH_CHARS]
    return f"{_PREFIX}{readable}_{digest}" if readable else _PREFIX + digest


def property_expression(
    name: str,
    kind: PropertyType,
    columns: Mapping[str, MaterializedProperty] | None = None,
    document: str = "properties",
    write_key: Callable[[str], str] = sql_text,
) -> str:
    """SQL for a property as `kind`, Nullable: its column, if there is one of that type, else read from the JSON.

    columns: what `materialized_properties` answers for what is asked, `events` or a view on it. document: the column
    that holds the JSON. write_key: how a key stands in the SQL, as a text or as a parameter. Raises ValueError for no
    name.
    """
    column = (columns or {}).get(name)
    if column is not None and column.type is kind:
        return column.column
    keys = ", ".join(map(write_key, property_keys(name)))
    # One look into the document each: ClickHouse computes what stands twice in an expression once.
    text = f"JSONExtract({document}, {keys}, 'Nullable(String)')"
    raw = f"trimBoth(JSONExtractRaw({document}, {keys}), '\"')"
    number = f"toFloat64OrNull({raw})"
    match kind:
        case PropertyType.STRING:
            return text
        case PropertyType.FLOAT64:
            return f"if(isFinite({number}), {number}, NULL)"
        case PropertyType.INT64:
            return f"coalesce(toInt64OrNull({raw}), accurateCastOrNull({number}, 'Int64'))"
        case PropertyType.BOOL:
            return f"multiIf({raw} = 'true', true, {raw} = 'false', false, NULL)"
        case PropertyType.DATETIME:
            return f"parseDateTime64BestEffortOrNull({text}, 3, 'UTC')"


def materialized_properties(
    client: AsksClickHouse, project_id: str | None = None, source: str = "events"
) -> dict[str, MaterializedProperty]:
    """The properties of `events` that have a column usable for a question: of all projects, or of this one.

    Where a property has both, the project's own. A column that is still being filled is not among them. source: what is
    asked, if not the table itself: a view's columns are those that it has.
    """
    every = catalogue(client, filled=True, source=source)
    return {entry.name: entry for usable in (None, project_id) for entry in every if entry.project_id == usable}


def catalogue(client: AsksClickHouse, *, filled: bool = False, source: str = "events") -> list[MaterializedProperty]:
    """All materialized properties, by column; `filled`: those that every part has; `source`: those that it has."""
    had = "" if source == "events" else _HAD.format(source=sql_text(source))
    rows = client.execute(f"{_CATALOGUE}{_FILLED if filled else ''}{had} ORDER BY name")
    found = (read_comment(column, comment) for column, comment in rows)
    return [entry for entry in found if entry is not None]


def read_comment(column: str, comment: str) -> MaterializedProperty | None:
    """The property that a column is of, by its comment; None: of none."""
    if not comment.startswith(_MARK):
        return None
    try:
        entry = json.loads(comment.removeprefix(_MARK))
        return MaterializedProperty(entry["name"], PropertyType(entry["type"]), column, entry["project_id"])
    except (ValueError, KeyError, TypeError):
        return None
