"""Every panel's query, asked of the real Prometheus and the real tables while the real pipeline has traffic.

Grafana is not here: its macros are expanded by `macros`, and SQL is asked as the user that Grafana has.
"""

import json
import math
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from clickhouse_driver import Client

from docker.local import PROJECT_ROOT
from docker.local.kafka import KafkaServer
from docker.local.prometheus import PrometheusServer
from docker.local.services import Pipeline
from tests.collector.whatsapp.payloads import (
    APP,
    CARLA,
    NUMBER,
    apps_file,
    change,
    contact,
    hook,
    signature,
    text,
    whatsapp,
)
from tests.dashboards.macros import Range, expand_promql, expand_sql
from tests.dashboards.reading import CLICKHOUSE, PROMETHEUS, Query, queries, variables
from tests.docker.grafana_server import DATABASE, GRAFANA_PASSWORD, GRAFANA_USER, ServerWithUsers

RULE_FILES = [str(path) for path in sorted((PROJECT_ROOT / "docker" / "prometheus" / "rules").glob("*.yml"))]
RATE_INTERVAL_S = 20
TRAFFIC_S = 8
BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
    "Mobile/15E148 Safari/604.1",
)
ROBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def event(number: int) -> dict[str, Any]:
    """The event of that number: thirty visitors, one of them a robot, all types; the last is of no type at all."""
    visitor = number % 30
    kinds: list[dict[str, Any]] = [
        {"type": "page", "name": "Pricing", "properties": {"url": f"https://shop.example/p/{number}?utm_source=mail"}},
        {"type": "track", "event": "Product Viewed", "properties": {"price": number}},
        {"type": "track", "event": f"Clicked {number % 7}"},
        {"type": "identify", "userId": f"user-{visitor}", "traits": {"plan": "free"}},
        {"type": "screen", "name": "Home"},
        {"type": "wave"},
    ]
    agent = ROBOT if visitor == 0 else BROWSERS[visitor % len(BROWSERS)]
    context = {"userAgent": agent, "ip": f"203.0.113.{visitor}"}
    return kinds[number % len(kinds)] | {
        "messageId": str(uuid.uuid4()),
        "anonymousId": f"visitor-{visitor}",
        "context": context,
    }


def send(pipeline: Pipeline, seconds: float) -> int:
    """Batches of 20 events, five a second, each fifth of them sent twice; and what the collector refuses.

    Returns how many events were answered with 200, the repeats among them.
    """
    sent, token = 1, handshake(pipeline)
    give_up_at = time.monotonic() + seconds
    number = 0
    while time.monotonic() < give_up_at:
        batch = {"batch": [event(number + index) for index in range(20)]}
        number += 20
        for _ in range(2 if number % 100 == 0 else 1):
            assert pipeline.post("/v1/batch", batch)[0] == 200
            sent += 20
        assert pipeline.post("/v1/track", event(1) | {"type": "track"})[0] == 200
        sent += 1
        assert pipeline.post("/v1/track", b"{", write_key="unknown")[0] in {400, 401}
        message = text(f"m{number}", f"Hi {token}", timestamp=str(int(time.time())))
        hooked = hook(change(contacts=[contact()], messages=[message]))
        assert pipeline.post(f"/v1/whatsapp/{APP}", hooked, headers=signature(hooked))[0] == 200
        sent += 1
        time.sleep(0.2)
    assert pipeline.post("/v1/track", agent_message())[0] == 200
    return sent + 1


def agent_message() -> dict[str, Any]:
    """The answer of an agent to the customer of the webhooks, as an integrator's server tells it."""
    return {
        "event": "Live Chat Message Received",
        "userId": "crm-7",
        "context": {"channel_type": "whatsapp", "externalId": CARLA[1]},
        "properties": {"phone_number_id": NUMBER, "message_id": "wamid.answer", "sender": "agent"},
    }


def handshake(pipeline: Pipeline) -> str:
    """A token, once the collector knows the project's business number; of no other answer anything is stored."""
    pipeline.add_project("shop", write_key=pipeline.write_key, settings=whatsapp())
    answers: list[tuple[int, str]] = []

    def is_given() -> bool:
        answers.append(pipeline.post("/v1/handshake", {"anonymousId": "visitor-1"}))
        return answers[-1][0] == 200

    pipeline.wait_until(is_given, "the collector knows the number")
    return str(json.loads(answers[-1][1])["token"])


def configuration(pipeline: Pipeline) -> str:
    """Scrape every process, each second, under the job names of docker/prometheus."""
    ports: dict[str, list[int]] = {}
    for service in pipeline.services:
        ports.setdefault(service.name.partition("-")[0], []).append(service.admin_port)
    jobs = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in own]}]}
        for job, own in ports.items()
    ]
    pace = {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s"}
    return json.dumps({"global": pace, "rule_files": RULE_FILES, "scrape_configs": jobs})


class Answers:
    """What the two servers answer, at the end of a run of the pipeline under traffic."""

    def __init__(self, pipeline: Pipeline, prometheus: PrometheusServer, clickhouse: Client, sent: int) -> None:
        self.sent = sent
        self._pipeline = pipeline
        self._prometheus = prometheus
        self._clickhouse = clickhouse
        self._at = time.time()

    def of_prometheus(self, expression: str, at: float | None = None) -> list[float]:
        """The value of each series at the end of the traffic. Raises OSError when the expression is refused."""
        asked = urllib.parse.urlencode({"query": expression, "time": f"{at or self._at:.3f}"})
        answer = json.loads(self._prometheus.get(f"/api/v1/query?{asked}"))
        return [float(series["value"][1]) for series in answer["data"]["result"]]

    def settled(self, expression: str, value: float) -> None:
        """Return once the expression has this value. Raises TimeoutError."""
        self._pipeline.wait_until(
            lambda: self.of_prometheus(expression, time.time()) == [value],
            f"{expression} is {self.of_prometheus(expression, time.time())}, should be {value}",
        )

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its health."""
        groups = json.loads(self._prometheus.get("/api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def of_clickhouse(
        self, query: Query, *, tenant: tuple[str, ...], project: tuple[str, ...]
    ) -> list[tuple[Any, ...]]:
        """The rows. Raises the driver's ServerException when the statement is refused."""
        chosen = Range(int(self._at) - 3600, int(self._at) + 60, 30, {"tenant": tenant, "project": project})
        rows: list[tuple[Any, ...]] = self._clickhouse.execute(expand_sql(query.text, chosen))
        return rows

    @property
    def own(self) -> dict[str, tuple[str, ...]]:
        """Tenant and project of the traffic."""
        return {"tenant": (self._pipeline.tenant_id,), "project": (self._pipeline.project_id,)}


@pytest.fixture(scope="module")
def answers(
    kafka_server: KafkaServer, prometheus_server: PrometheusServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Answers]:
    """The pipeline has had traffic and still runs."""
    home = tmp_path_factory.mktemp("panels")
    prefix = f"panels{uuid.uuid4().hex[:8]}_"
    with ServerWithUsers(home / "clickhouse") as server:
        pipeline = Pipeline(
            home, kafka_server, server, database=DATABASE, topic_prefix=prefix, sinks_ledger_interval_s=1,
            collector_whatsapp_apps_path=str(apps_file(home)), collector_handshake_secret="invented handshake secret",
        )  # fmt: skip
        with pipeline:
            prometheus_server.configure(configuration(pipeline))
            sent = send(pipeline, TRAFFIC_S)
            pipeline.wait_for("SELECT count() > 0 FROM dead_letters")
            pipeline.wait_for("SELECT count(first_agent_response_at) > 0 FROM conversations_current")
            settled = urllib.parse.urlencode({"query": 'tally_sinks_ledger_project_events{outcome="duplicate"} > 0'})
            pipeline.wait_until(
                lambda: json.loads(prometheus_server.get(f"/api/v1/query?{settled}"))["data"]["result"] != [],
                "a duplicate in the ledger",
            )
            login = {"user": GRAFANA_USER, "password": GRAFANA_PASSWORD, "database": DATABASE}
            with Client(server.host, server.tcp_port, **login) as client:
                yield Answers(pipeline, prometheus_server, client, sent)
            print(pipeline.logs())
        prometheus_server.configure("{}")


@pytest.mark.parametrize("query", [query for query in queries() if query.kind == PROMETHEUS], ids=str)
def test_panel_of_prometheus_shows_numbers(query: Query, answers: Answers) -> None:
    values = answers.of_prometheus(expand_promql(query.text, RATE_INTERVAL_S))
    assert values, f"nothing to show: {query.text}"
    assert not all(math.isnan(value) for value in values), f"no number to show: {query.text}"


@pytest.mark.parametrize("query", [query for query in queries() if query.kind == CLICKHOUSE], ids=str)
def test_panel_of_clickhouse_shows_rows(query: Query, answers: Answers) -> None:
    assert answers.of_clickhouse(query, tenant=(), project=())
    assert answers.of_clickhouse(query, **answers.own)
    assert not answers.of_clickhouse(query, tenant=(str(uuid.uuid4()),), project=())


@pytest.mark.parametrize("query", list(variables()), ids=str)
def test_variable_offers_the_traffic_s_own(query: Query, answers: Answers) -> None:
    offered = {row[0] for row in answers.of_clickhouse(query, tenant=(), project=())}
    assert set(answers.own[query.owner]) <= offered


def test_received_is_what_was_sent_and_stored_duplicate_or_dead(answers: Answers) -> None:
    received = 'sum(tally_collector_events_total{outcome=~"accepted|dead"})'
    outcomes = {
        "stored": 'sum(tally_sinks_records_total{topic=~".*enriched_events",outcome="keep"})',
        "duplicate": 'sum(tally_streams_records_total{topic="raw_events",outcome="drop",reason="duplicate"})',
        "dead": 'sum(tally_collector_events_total{outcome="dead"})',
    }
    answers.settled(received, answers.sent)
    answers.settled(" + ".join(outcomes.values()), answers.sent)
    for name, expression in outcomes.items():
        assert answers.of_prometheus(expression, time.time())[0] > 0, name


def test_the_ledger_of_the_traffic_is_whole_and_sound(answers: Answers) -> None:
    answers.settled('sum(tally_sinks_ledger_events{outcome="in_flight"})', 0)
    answers.settled("sum(tally_sinks_ledger_unchecked)", 0)
    accepted = answers.of_prometheus('sum(tally_collector_events_total{outcome="accepted"})', time.time())
    answers.settled('sum(tally_sinks_ledger_events{outcome="accepted"})', accepted[0])
    for fault in ("tally_sinks_ledger_difference", 'tally_sinks_ledger_events{outcome=~"lost|doubled"}'):
        answers.settled(f"sum({fault})", 0)


def test_rules_are_evaluated_without_an_error(answers: Answers) -> None:
    assert len(answers.rules()) > 15
    for rule in answers.rules():
        assert rule["health"] == "ok", rule
    assert answers.of_prometheus("tally:events_received:rate5m")[0] > 0
