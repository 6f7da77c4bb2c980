"""The columns and clauses of a table's DDL file, read without a server."""

import re

from schemas.apply.tables import statement

_COLUMN = re.compile(r"^    (\w+) +(.+?),?$", re.MULTILINE)
_AFTER_TYPE = re.compile(r" +(DEFAULT|CODEC)\b.*$")


def columns(table: str) -> dict[str, str]:
    """Name → type, in the table's order, of the columns that are written: not of those derived from others."""
    lines = statement(table).partition("(\n")[2].partition("\n)\n")[0]
    found = {name: _AFTER_TYPE.sub("", rest) for name, rest in _COLUMN.findall(lines)}
    written = {name: kind for name, kind in found.items() if "MATERIALIZED" not in kind}
    return {name: kind for name, kind in written.items() if name not in ("PROJECTION", "INDEX")}


def time_to_live(table: str) -> str:
    """The TTL clause, '' when there is none."""
    found = re.search(r"^TTL (.+)$", statement(table), re.MULTILINE)
    return found[1] if found else ""


def engine(table: str) -> str:
    """The ENGINE clause."""
    found = re.search(r"^ENGINE = (.+)$", statement(table), re.MULTILINE)
    assert found
    return found[1]
