"""What stands in a cell of the README's table: a figure, a ratio, some words, of lines by their names."""

from collections.abc import Callable, Mapping
from typing import Any

Lines = Mapping[str, Mapping[str, Any]]
Cell = Callable[[Lines], str]


def value(name: str, unit: str = "") -> Cell:
    """A line's figure with its spread."""
    return lambda lines: _spread(lines[name], "value", "low", "high") + (unit or f" {lines[name]['unit']}")


def ratio(name: str, words: str) -> Cell:
    """A line's ratio with its spread, in a sentence that has "{}" in its place."""
    return lambda lines: words.format(_spread(lines[name], "ratio", "ratio_low", "ratio_high"))


def baseline(name: str, words: str) -> Cell:
    """What a line is compared with, in a sentence likewise."""
    return lambda lines: words.format(_number(lines[name]["baseline"]))


def joined(*cells: Cell) -> Cell:
    """One after another."""
    return lambda lines: "; ".join(cell(lines) for cell in cells)


def text(words: str) -> Cell:
    """The same whatever the lines say."""
    return lambda _lines: words


def _spread(line: Mapping[str, Any], middle: str, low: str, high: str) -> str:
    found = _number(line[middle])
    return found if line["rounds"] == 1 else f"{found} ({_number(line[low])} to {_number(line[high])})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:g}"
