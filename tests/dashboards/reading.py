"""The dashboards as data: panels, and what each asks of which data source."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.dashboards.tidy import DASHBOARDS

PROMETHEUS = "prometheus"
CLICKHOUSE = "grafana-clickhouse-datasource"


@dataclass(frozen=True)
class Query:
    """One question of a panel or of a variable. `kind` is the data source's type; `series`: over time, else a table."""

    owner: str
    kind: str
    text: str
    series: bool = True

    def __str__(self) -> str:
        return self.owner


def paths() -> list[Path]:
    """The files."""
    return sorted(DASHBOARDS.glob("*.json"))


def dashboards() -> list[dict[str, Any]]:
    """Their contents."""
    return [json.loads(path.read_text()) for path in paths()]


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels that show data, those of collapsed rows too."""
    nested = [inner for panel in dashboard["panels"] for inner in panel.get("panels", [])]
    return [panel for panel in [*dashboard["panels"], *nested] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    """Every question of every panel."""
    for dashboard in dashboards():
        for panel in panels(dashboard):
            kind = panel["datasource"]["type"]
            for target in panel["targets"]:
                text = target["expr"] if kind == PROMETHEUS else target["rawSql"]
                series = kind == PROMETHEUS or target["queryType"] == "timeseries"
                yield Query(f"{panel['title']} {target['refId']}", kind, text, series)


def variables() -> Iterator[Query]:
    """The questions whose answers are the choices of a dashboard's variables."""
    for dashboard in dashboards():
        for variable in dashboard["templating"]["list"]:
            yield Query(variable["name"], variable["datasource"]["type"], variable["query"], series=False)
