"""The dashboards' JSON: tidy, complete, and about metrics, columns and data sources that exist."""

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from docker.local import PROJECT_ROOT
from schemas.metrics import CollectorMetrics, SinksMetrics, StreamsMetrics
from tests.dashboards.reading import CLICKHOUSE, PROMETHEUS, dashboards, panels, paths, queries
from tests.dashboards.tidy import tidy

DOCKER = PROJECT_ROOT / "docker"
PANELS = [panel for dashboard in dashboards() for panel in panels(dashboard)]
# Metrics that no panel and no rule shows, with the reason. Empty: every metric is there to be looked at.
NOT_SHOWN: dict[str, str] = {}


def title(panel: dict[str, Any]) -> str:
    return str(panel["title"])


def series_of_metrics() -> dict[str, set[str]]:
    """Every metric, and the names of the series that it is stored under."""
    registry = CollectorRegistry()
    for metrics in (CollectorMetrics, StreamsMetrics, SinksMetrics):
        metrics(registry)
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {family.name: {family.name + suffix for suffix in suffixes[family.type]} for family in registry.collect()}


def expressions() -> list[str]:
    """Everything asked of Prometheus: by panels, by rules."""
    rules = [
        rule["expr"]
        for path in sorted((DOCKER / "prometheus" / "rules").glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    return rules + [query.text for query in queries() if query.kind == PROMETHEUS]


def named() -> set[str]:
    """The series that are asked for."""
    return {name for text in expressions() for name in re.findall(r"\btally_\w+", text)}


def test_every_series_asked_for_is_one_of_a_metric() -> None:
    known = set().union(*series_of_metrics().values())
    assert named() <= known
    assert len(named()) > 20


def test_every_metric_is_shown_or_has_a_reason_not_to_be() -> None:
    unseen = {metric for metric, series in series_of_metrics().items() if not series & named()}
    assert unseen == set(NOT_SHOWN)


def test_recorded_series_asked_for_are_recorded() -> None:
    rules = yaml.safe_load((DOCKER / "prometheus" / "rules" / "recording.yml").read_text())
    recorded = {rule["record"] for group in rules["groups"] for rule in group["rules"]}
    assert {name for text in expressions() for name in re.findall(r"\btally:[\w:]+", text)} <= recorded


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.name)
def test_file_is_tidy(path: Any) -> None:
    assert path.read_text() == tidy(json.loads(path.read_text())), "run `python -m tests.dashboards.tidy`"


def test_tidy_changes_nothing_but_the_layout() -> None:
    for path in paths():
        assert json.loads(tidy(json.loads(path.read_text()))) == json.loads(path.read_text())


@pytest.mark.parametrize("panel", PANELS, ids=title)
def test_panel_says_what_it_shows_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 15
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH"[: len(panel["targets"])])


def test_titles_and_ids_are_unique() -> None:
    for dashboard in dashboards():
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)
        titles = [(panel["gridPos"]["y"], panel["title"]) for panel in dashboard["panels"]]
        assert len(set(titles)) == len(titles)
    owners = [str(query) for query in queries()]
    assert len(set(owners)) == len(owners)


def test_panels_lie_beside_each_other_and_within_the_page() -> None:
    for dashboard in dashboards():
        areas = [(panel["title"], panel["gridPos"]) for panel in dashboard["panels"]]
        for name, area in areas:
            assert area["x"] + area["w"] <= 24, name
        for (name, a), (other, b) in combinations(areas, 2):
            apart = (
                a["x"] + a["w"] <= b["x"]
                or b["x"] + b["w"] <= a["x"]
                or a["y"] + a["h"] <= b["y"]
                or b["y"] + b["h"] <= a["y"]
            )
            assert apart, f"{name} lies over {other}"


def test_data_sources_are_the_provisioned_ones() -> None:
    provisioned = yaml.safe_load((DOCKER / "grafana" / "provisioning" / "datasources" / "tally.yaml").read_text())
    known = {(source["type"], source["uid"]) for source in provisioned["datasources"]}
    used = {(panel["datasource"]["type"], panel["datasource"]["uid"]) for panel in PANELS}
    used |= {
        (variable["datasource"]["type"], variable["datasource"]["uid"])
        for dashboard in dashboards()
        for variable in dashboard["templating"]["list"]
    }
    assert used == known
    assert {kind for kind, _ in known} == {PROMETHEUS, CLICKHOUSE}


def test_provisioned_paths_are_where_compose_mounts_them() -> None:
    compose = (DOCKER / "compose.yaml").read_text()
    (provider,) = yaml.safe_load((DOCKER / "grafana" / "provisioning" / "dashboards" / "tally.yaml").read_text())[
        "providers"
    ]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in compose
    assert f"{provider['options']['path']}/overview.json" in compose


def test_data_source_of_clickhouse_is_the_read_only_user() -> None:
    provisioned = yaml.safe_load((DOCKER / "grafana" / "provisioning" / "datasources" / "tally.yaml").read_text())
    (source,) = [source for source in provisioned["datasources"] if source["type"] == CLICKHOUSE]
    user_file = (DOCKER / "clickhouse" / "users.d" / "grafana.xml").read_text()
    assert f"<{source['jsonData']['username']}>" in user_file
    assert f"GRANT SELECT ON {source['jsonData']['defaultDatabase']}.*" in user_file
    assert source["secureJsonData"]["password"].removeprefix("$") in user_file


def test_every_sql_panel_keeps_to_the_time_the_tenant_and_the_project_chosen() -> None:
    for query in queries():
        if query.kind == CLICKHOUSE:
            assert "$__timeFilter(" in query.text, str(query)
            assert "${tenant:singlequote}), $tenant)" in query.text, str(query)
            assert "${project:singlequote}), $project)" in query.text, str(query)
