"""Grafana's macros and variables, expanded as Grafana and its ClickHouse plugin do, as far as these dashboards go."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


class UnknownMacroError(ValueError):
    """A macro or variable that is not known here: a panel that uses it would be checked for something else."""


@dataclass(frozen=True)
class Range:
    """What Grafana knows when it asks: the times chosen, in Unix seconds, the step, and the variables' values.

    A variable without values stands for All.
    """

    from_s: int
    to_s: int
    step_s: int
    variables: Mapping[str, Sequence[str]] = field(default_factory=dict)


def expand_sql(sql: str, chosen: Range) -> str:
    """The statement that the database gets. Raises UnknownMacroError."""
    while (start := sql.rfind("$__conditionalAll(")) >= 0:
        condition, variable, end = _two_arguments(sql, start + len("$__conditionalAll("))
        values = _values(variable.removeprefix("$"), chosen)
        sql = sql[:start] + (condition if values else "1=1") + sql[end:]
    sql = re.sub(r"\$\{(\w+):singlequote\}", lambda match: _quoted(_values(match[1], chosen)), sql)
    sql = re.sub(
        r"\$__timeFilter\(([^()]*)\)",
        lambda match: f"{match[1]} >= toDateTime({chosen.from_s}) AND {match[1]} <= toDateTime({chosen.to_s})",
        sql,
    )
    sql = re.sub(
        r"\$__timeInterval\(([^()]*)\)",
        lambda match: f"toStartOfInterval(toDateTime({match[1]}), INTERVAL {chosen.step_s} second)",
        sql,
    )
    return _without_macros(sql)


def expand_promql(expression: str, rate_interval_s: int) -> str:
    """The expression that Prometheus gets. Raises UnknownMacroError."""
    return _without_macros(expression.replace("$__rate_interval", f"{rate_interval_s}s"))


def _without_macros(text: str) -> str:
    if left := re.findall(r"\$\{?\w+", text):
        raise UnknownMacroError(f"{', '.join(left)} in: {text}")
    return text


def _values(variable: str, chosen: Range) -> Sequence[str]:
    if variable not in chosen.variables:
        raise UnknownMacroError(f"the dashboard has no variable {variable}")
    return chosen.variables[variable]


def _quoted(values: Sequence[str]) -> str:
    return ",".join("'" + value.replace("'", r"\'") + "'" for value in values)


def _two_arguments(sql: str, start: int) -> tuple[str, str, int]:
    """The arguments of a call whose first character is at `start`, and where the text goes on behind it."""
    depth, comma = 0, -1
    for position in range(start, len(sql)):
        character = sql[position]
        if character == "," and depth == 0:
            comma = position
        elif character in "({":
            depth += 1
        elif character in ")}" and depth:
            depth -= 1
        elif character == ")":
            if comma < 0:
                break
            return sql[start:comma], sql[comma + 1 : position].strip(), position + 1
    raise UnknownMacroError(f"$__conditionalAll takes two arguments: {sql}")
