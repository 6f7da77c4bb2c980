"""A question as it goes to the server: SQL with {name:Type} in it, and their values beside it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sinks.query.pieces import Value

_PLACEHOLDER: Final = re.compile(r"\{([a-z_0-9]+):([^{}]+)\}")
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"})
_TAB_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"})


@dataclass(frozen=True, slots=True)
class Statement:
    """`values`: at least those that the text asks for."""

    sql: str
    values: Mapping[str, Value]

    def sent(self) -> dict[str, str]:
        """The values that the text asks for, as ClickHouse reads them from a request."""
        asked = {name for name, _ in _PLACEHOLDER.findall(self.sql)}
        return {name: _sent(value) for name, value in self.values.items() if name in asked}

    def pasted(self) -> str:
        """The same question with its values as literals, for Grafana and for clickhouse-client."""
        return _PLACEHOLDER.sub(lambda found: _literal(self.values[found[1]], found[2]), self.sql)


def _sent(value: Value) -> str:
    """A text as a field of tab-separated text, which is how it is read; a list as its literal."""
    if isinstance(value, list):
        return _array(value)
    return _moment(value) if isinstance(value, datetime) else _scalar(value).translate(_TAB_ESCAPES)


def _literal(value: Value, kind: str) -> str:
    if isinstance(value, datetime):
        return f"toDateTime64('{_moment(value)}', 3, 'UTC')"
    if isinstance(value, list):
        return f"CAST({_array(value)}, '{kind}')"
    if isinstance(value, str):
        return _quoted(value)
    return _scalar(value) if isinstance(value, bool) else f"CAST({_scalar(value)}, '{kind}')"


def _scalar(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def _array(value: list[str] | list[int]) -> str:
    return f"[{', '.join(_quoted(one) if isinstance(one, str) else str(one) for one in value)}]"


def _quoted(text: str) -> str:
    return f"'{text.translate(_ESCAPES)}'"


def _moment(value: datetime) -> str:
    """value: in UTC."""
    return value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03d}"
