"""Each alert fires in its own trouble and in no other; in health none does. Prometheus itself decides, by promtool."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from docker.local import PROJECT_ROOT
from docker.local.prometheus import promtool
from schemas.settings import Settings

pytestmark = pytest.mark.integration  # promtool comes with the real Prometheus
PROMETHEUS = PROJECT_ROOT / "docker" / "prometheus"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
STEPS = 120  # of 15 s: half an hour
AT = "29m"

ENRICHED = 'topic="enriched_events"'
UP = {f'up{{job="{job}",instance="{job}-1"}}': f"1x{STEPS}" for job in ("collector", "streams", "sinks")}
HEALTHY = UP | {
    'tally_collector_requests_total{route="batch",status="200"}': f"0+1500x{STEPS}",
    'tally_collector_requests_total{route="batch",status="503"}': f"0+1x{STEPS}",
    'tally_collector_events_total{outcome="accepted",reason=""}': f"0+15000x{STEPS}",
    'tally_collector_events_total{outcome="dead",reason="type_unknown"}': f"0+15x{STEPS}",
    'tally_collector_inflight_bytes{instance="collector-1"}': f"4000000x{STEPS}",
    'tally_collector_events_total{outcome="dead",reason="phone_number_unknown"}': f"0x{STEPS}",
    'tally_collector_whatsapp_requests_total{result="accepted"}': f"0+300x{STEPS}",
    'tally_collector_whatsapp_requests_total{result="signature_wrong"}': f"0x{STEPS}",
    'tally_collector_whatsapp_delay_seconds_bucket{le="600.0"}': f"0+299x{STEPS}",
    "tally_collector_whatsapp_delay_seconds_count": f"0+300x{STEPS}",
    'tally_collector_whatsapp_tokens_total{number="1",outcome="invalid"}': f"0+1x{STEPS}",  # order numbers
    'tally_streams_records_total{topic="raw_events",outcome="keep",reason=""}': f"0+14985x{STEPS}",
    'tally_streams_records_total{topic="raw_events",outcome="drop",reason="duplicate"}': f"0+15x{STEPS}",
    'tally_streams_lag_records{topic="raw_events",partition="0"}': f"900x{STEPS}",
    'tally_streams_lag_seconds{instance="streams-1"}': f"0.5x{STEPS}",
    'tally_streams_epoch_seconds_count{instance="streams-1"}': f"0+20x{STEPS}",
    'tally_streams_oldest_chunk_seconds{instance="streams-1"}': f"0.4x{STEPS}",
    'tally_streams_recovering{instance="streams-1"}': f"0x{STEPS}",
    'tally_streams_remarks_total{topic="raw_events",remark="clock_ahead"}': f"0x{STEPS}",
    'tally_streams_remarks_total{topic="raw_events",remark="seen_ids_forgotten"}': f"0x{STEPS}",
    'tally_streams_remarks_total{topic="raw_events",remark="state_clipped"}': f"0x{STEPS}",
    'tally_streams_remarks_total{topic="raw_events",remark="row_clipped"}': f"0x{STEPS}",
    'tally_streams_remarks_total{topic="raw_events",remark="late"}': f"0+10x{STEPS}",
    'tally_streams_remarks_total{topic="raw_events",remark="tombstone"}': f"0+50x{STEPS}",
    'tally_streams_records_total{topic="identity_claims",outcome="keep",reason=""}': f"0+600x{STEPS}",
    'tally_streams_remarks_total{topic="identity_claims",remark="id_shared"}': f"0+1x{STEPS}",  # a kiosk
    'tally_streams_remarks_total{topic="identity_claims",remark="traits_cut"}': f"0x{STEPS}",
    'tally_streams_hot_key_share{instance="streams-1",rank="1"}': f"0.04x{STEPS}",
    'tally_streams_expired_records_total{topic="raw_events"}': f"0x{STEPS}",
    'tally_streams_largest_state_bytes{table="sessions"}': f"120000x{STEPS}",
    'tally_streams_dead_share{instance="streams-1",topic="raw_events"}': f"0.02x{STEPS}",
    f'tally_sinks_records_total{{{ENRICHED},outcome="keep",reason=""}}': f"0+14985x{STEPS}",
    f'tally_sinks_batches_total{{{ENRICHED},outcome="written"}}': f"0+15x{STEPS}",
    f'tally_sinks_lag_records{{{ENRICHED},partition="0"}}': f"800x{STEPS}",
    f"tally_sinks_lag_seconds{{{ENRICHED}}}": f"1x{STEPS}",
    f'tally_sinks_database_up{{instance="sinks-1",{ENRICHED}}}': f"1x{STEPS}",
    f'tally_sinks_stopped{{{ENRICHED},cause="type_changed"}}': f"0x{STEPS}",
    f"tally_sinks_expired_records_total{{{ENRICHED}}}": f"0x{STEPS}",
    f"tally_sinks_view_lacking_rows{{{ENRICHED}}}": f"0x{STEPS}",
    f"tally_sinks_view_rows_given_up_total{{{ENRICHED}}}": f"0x{STEPS}",
    f'tally_sinks_latency_seconds_bucket{{{ENRICHED},le="2"}}': f"0+15x{STEPS}",
    f'tally_sinks_latency_seconds_bucket{{{ENRICHED},le="30"}}': f"0+15x{STEPS}",
    f'tally_sinks_latency_seconds_bucket{{{ENRICHED},le="+Inf"}}': f"0+15x{STEPS}",
    f'tally_sinks_records_total{{{ENRICHED},outcome="drop",reason="replayed"}}': f"0+10x{STEPS}",
    'tally_sinks_ledger_difference{instance="sinks-1"}': f"0x{STEPS}",
    'tally_sinks_ledger_difference{instance="sinks-2"}': f"0x{STEPS}",
    'tally_sinks_ledger_events{instance="sinks-1",outcome="lost"}': f"0x{STEPS}",
    'tally_sinks_ledger_events{instance="sinks-1",outcome="doubled"}': f"0x{STEPS}",
    # In these tests time begins at 0. The second process does not keep the ledger, and says when it began.
    'tally_sinks_ledger_timestamp_seconds{instance="sinks-1"}': f"1+15x{STEPS}",
    'tally_sinks_ledger_timestamp_seconds{instance="sinks-2"}': f"1x{STEPS}",
    'tally_sinks_rollups_timestamp_seconds{instance="sinks-1"}': f"1+15x{STEPS}",
    'tally_sinks_rollups_timestamp_seconds{instance="sinks-2"}': f"0x{STEPS}",
    'tally_sinks_rollups_dirty_seconds{instance="sinks-1"}': f"300x{STEPS}",
}
IDLE = UP | {
    'tally_streams_lag_records{topic="raw_events",partition="0"}': f"0x{STEPS}",
    f'tally_sinks_lag_records{{{ENRICHED},partition="0"}}': f"0x{STEPS}",
    f'tally_sinks_database_up{{instance="sinks-1",{ENRICHED}}}': f"1x{STEPS}",
}
# What differs from health, by the alert that must fire. A counter that stands still has increased by nothing.
TROUBLES: Mapping[str, Mapping[str, str]] = {
    "TallyProcessDown": {'up{job="streams",instance="streams-2"}': f"1x80 0x{STEPS - 80}"},
    "TallyRequestsUnavailable": {'tally_collector_requests_total{route="batch",status="503"}': f"0+40x{STEPS}"},
    "TallyInflightNearLimit": {'tally_collector_inflight_bytes{instance="collector-1"}': f"60000000x{STEPS}"},
    "TallyWhatsAppSignatures": {
        'tally_collector_whatsapp_requests_total{result="signature_wrong"}': f"0x80 2+2x{STEPS - 80}"
    },
    "TallyWhatsAppLate": {'tally_collector_whatsapp_delay_seconds_bucket{le="600.0"}': f"0+30x{STEPS}"},
    "TallyWhatsAppNumberUnknown": {
        'tally_collector_events_total{outcome="dead",reason="phone_number_unknown"}': f"0x80 5x{STEPS - 80}"
    },
    "TallyWhatsAppTokensWrong": {
        'tally_collector_whatsapp_tokens_total{number="1",outcome="invalid"}': f"0+20x{STEPS}"
    },
    "TallyStreamsLag": {'tally_streams_lag_records{topic="raw_events",partition="1"}': f"100000x{STEPS}"},
    "TallyStreamsBehind": {'tally_streams_lag_seconds{instance="streams-1"}': f"90x{STEPS}"},
    "TallyStreamsNoCommits": {'tally_streams_epoch_seconds_count{instance="streams-1"}': f"70x{STEPS}"},
    "TallyStreamsChunkStuck": {'tally_streams_oldest_chunk_seconds{instance="streams-1"}': f"90x{STEPS}"},
    "TallyStreamsRecovering": {'tally_streams_recovering{instance="streams-1"}': f"1x{STEPS}"},
    "TallyStreamsRecordsDie": {
        'tally_streams_dead_share{instance="streams-1",topic="raw_events"}': f"0x80 0.2x{STEPS - 80}"
    },
    "TallyStreamsInvariantBroken": {
        'tally_streams_invariants_broken_total{instance="streams-1",invariant="contiguous"}': f"0x{STEPS - 8} 1x3 _x4"
    },
    "TallyStreamsExpired": {'tally_streams_expired_records_total{topic="raw_events"}': f"0x80 500x{STEPS - 80}"},
    "TallyStreamsStateLarge": {'tally_streams_largest_state_bytes{table="sessions"}': f"1000000x{STEPS}"},
    "TallyStreamsClockAhead": {
        'tally_streams_remarks_total{topic="raw_events",remark="clock_ahead"}': f"0x80 5x{STEPS - 80}"
    },
    "TallyStreamsForgetsIds": {
        'tally_streams_remarks_total{topic="raw_events",remark="seen_ids_forgotten"}': f"0x80 5x{STEPS - 80}"
    },
    "TallyStreamsTextsClipped": {
        'tally_streams_remarks_total{topic="raw_events",remark="state_clipped"}': f"0x80 5x{STEPS - 80}"
    },
    "TallyStreamsTraitsCut": {
        'tally_streams_remarks_total{topic="identity_claims",remark="traits_cut"}': f"0x80 5x{STEPS - 80}"
    },
    "TallyStreamsIdsShared": {
        'tally_streams_remarks_total{topic="identity_claims",remark="id_shared"}': f"0+60x{STEPS}"
    },
    "TallyStreamsLateEvents": {'tally_streams_remarks_total{topic="raw_events",remark="late"}': f"0+3000x{STEPS}"},
    "TallyStreamsHotKey": {'tally_streams_hot_key_share{instance="streams-1",rank="1"}': f"0.4x{STEPS}"},
    "TallySinksLag": {f"tally_sinks_lag_seconds{{{ENRICHED}}}": f"120x{STEPS}"},
    "TallyDatabaseDown": {f'tally_sinks_database_up{{instance="sinks-1",{ENRICHED}}}': f"1x80 0x{STEPS - 80}"},
    "TallySinksStopped": {f'tally_sinks_stopped{{{ENRICHED},cause="type_changed"}}': f"0x80 1x{STEPS - 80}"},
    "TallySinksExpired": {f"tally_sinks_expired_records_total{{{ENRICHED}}}": f"0x80 500x{STEPS - 80}"},
    "TallyViewFails": {f"tally_sinks_view_lacking_rows{{{ENRICHED}}}": f"0x80 100x{STEPS - 80}"},
    "TallyViewLacksRows": {f"tally_sinks_view_rows_given_up_total{{{ENRICHED}}}": f"0x80 100x{STEPS - 80}"},
    "TallySinksNoCommits": {f'tally_sinks_batches_total{{{ENRICHED},outcome="written"}}': f"70x{STEPS}"},
    "TallySinksRetrying": {f'tally_sinks_batches_total{{{ENRICHED},outcome="retried"}}': f"0+5x{STEPS}"},
    "TallyDeadLetters": {
        'tally_streams_records_total{topic="raw_events",outcome="dead",reason="not_avro"}': f"0+300x{STEPS}"
    },
    "TallyLedgerDifference": {'tally_sinks_ledger_difference{instance="sinks-1"}': f"0x80 3x{STEPS - 80}"},
    "TallyLedgerLost": {'tally_sinks_ledger_events{instance="sinks-1",outcome="lost"}': f"0x80 1x{STEPS - 80}"},
    "TallyLedgerDoubled": {'tally_sinks_ledger_events{instance="sinks-1",outcome="doubled"}': f"0x80 1x{STEPS - 80}"},
    "TallyLedgerStale": {'tally_sinks_ledger_timestamp_seconds{instance="sinks-1"}': f"1+15x20 301x{STEPS - 20}"},
    "TallyRollupsStale": {'tally_sinks_rollups_timestamp_seconds{instance="sinks-1"}': f"1+15x20 301x{STEPS - 20}"},
    "TallySinksReplayed": {
        f'tally_sinks_records_total{{{ENRICHED},outcome="drop",reason="replayed"}}': f"0+15000x{STEPS}"
    },
    "TallyLatencyHigh": {f'tally_sinks_latency_seconds_bucket{{{ENRICHED},le="2"}}': f"0+1x{STEPS}"},
}


def alerts() -> list[dict[str, Any]]:
    """Every alert, as its file has it."""
    groups = yaml.safe_load((PROMETHEUS / "rules" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def check(folder: Path, series: Mapping[str, str], expected: Sequence[tuple[str, str, float]]) -> None:
    """Run promtool: `expected` are expression, labels and value of its only sample."""
    asked: dict[str, list[dict[str, Any]]] = {}
    for expression, labels, value in expected:
        asked.setdefault(expression, []).append({"labels": labels, "value": value})
    test = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": expression, "eval_time": AT, "exp_samples": [sample for sample in samples if sample["labels"]]}
            for expression, samples in asked.items()
        ],
    }
    path = folder / "rules_test.yml"
    whole = {"rule_files": [str(file) for file in RULE_FILES], "evaluation_interval": "30s", "tests": [test]}
    path.write_text(json.dumps(whole))
    done = subprocess.run([promtool(), "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


FIRING = 'count by (alertname) (ALERTS{alertstate="firing"})'
NOTHING = (FIRING, "", 0.0)


def test_sinks_without_a_ledger_have_none_that_is_stale(tmp_path: Path) -> None:
    off = {f'tally_sinks_ledger_timestamp_seconds{{instance="sinks-{number}"}}': f"0x{STEPS}" for number in (1, 2)}
    check(tmp_path, {**HEALTHY, **off}, [NOTHING])


def test_a_ledger_that_another_process_takes_over_is_not_stale(tmp_path: Path) -> None:
    moved = {
        'tally_sinks_ledger_timestamp_seconds{instance="sinks-1"}': f"1+15x60 901x{STEPS - 60}",
        'tally_sinks_ledger_timestamp_seconds{instance="sinks-2"}': f"1x62 931+15x{STEPS - 62}",
    }
    check(tmp_path, {**HEALTHY, **moved}, [NOTHING])


def test_repeats_of_killed_workers_are_no_recreated_topic(tmp_path: Path) -> None:
    repeats = {f'tally_sinks_records_total{{{ENRICHED},outcome="drop",reason="replayed"}}': f"0+5000x{STEPS}"}
    check(tmp_path, {**HEALTHY, **repeats}, [NOTHING])


@pytest.mark.parametrize("name", sorted(TROUBLES))
def test_alert_fires_in_its_own_trouble_and_in_no_other(name: str, tmp_path: Path) -> None:
    check(tmp_path, {**HEALTHY, **TROUBLES[name]}, [(FIRING, f'{{alertname="{name}"}}', 1)])


def test_one_visitor_alone_on_a_quiet_site_is_no_hot_key(tmp_path: Path) -> None:
    alone = {'tally_streams_hot_key_share{instance="streams-1",rank="1"}': f"1x{STEPS}"}
    slow = {'tally_streams_records_total{topic="raw_events",outcome="keep",reason=""}': f"0+15x{STEPS}"}
    check(tmp_path, {**IDLE, **alone, **slow}, [NOTHING])


def test_a_row_that_was_clipped_is_told_like_a_state(tmp_path: Path) -> None:
    clipped = {'tally_streams_remarks_total{topic="raw_events",remark="row_clipped"}': f"0x80 5x{STEPS - 80}"}
    check(tmp_path, {**HEALTHY, **clipped}, [(FIRING, '{alertname="TallyStreamsTextsClipped"}', 1)])


def test_healthy_pipeline_under_load_fires_nothing(tmp_path: Path) -> None:
    check(tmp_path, HEALTHY, [NOTHING])


def test_idle_pipeline_without_any_event_yet_fires_nothing(tmp_path: Path) -> None:
    check(tmp_path, IDLE, [NOTHING])


def test_service_that_was_never_found_is_down(tmp_path: Path) -> None:
    found = {name: values for name, values in IDLE.items() if 'job="sinks"' not in name}
    check(tmp_path, found, [(FIRING, '{alertname="TallyProcessDown"}', 1)])


def test_short_trouble_does_not_fire(tmp_path: Path) -> None:
    down = f"1x{STEPS - 6} 0x6"
    check(tmp_path, {**HEALTHY, f'tally_sinks_database_up{{instance="sinks-1",{ENRICHED}}}': down}, [NOTHING])


def test_every_alert_has_a_trouble_here() -> None:
    assert {rule["alert"] for rule in alerts()} == set(TROUBLES)


def test_what_comes_in_is_stored_or_duplicate_or_dead(tmp_path: Path) -> None:
    difference = (
        "round(tally:events_received:rate5m - tally:events_stored:rate5m - tally:events_duplicate:rate5m"
        " - tally:events_dead:rate5m, 0.001)"
    )
    check(tmp_path, HEALTHY, [("round(tally:events_received:rate5m)", "{}", 1001), (difference, "{}", 0)])


def test_idle_rates_are_zero_and_not_missing(tmp_path: Path) -> None:
    recorded = ["received", "accepted", "stored", "duplicate", "dead"]
    check(tmp_path, IDLE, [(f"tally:events_{name}:rate5m + 0", "{}", 0) for name in recorded])


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "runbook"}
    assert len(rule["annotations"]["runbook"]) > 60
    assert "for" in rule


def test_settings_named_in_runbooks_exist() -> None:
    named = set(re.findall(r"TALLY_\w+", (PROMETHEUS / "rules" / "alerts.yml").read_text()))
    assert named <= {f"TALLY_{name.upper()}" for name in Settings.model_fields}
    assert named


def test_inflight_alert_comes_before_the_limit() -> None:
    (rule,) = [rule for rule in alerts() if rule["alert"] == "TallyInflightNearLimit"]
    factors = [int(number) for number in re.findall(r"\d+", rule["expr"].split(">")[1])]
    threshold = factors[0] * factors[1] * factors[2]
    assert threshold == 0.75 * Settings.model_validate({}).collector_inflight_bytes_max


@pytest.mark.parametrize("name", ["prometheus.yml", "local.yml"])
def test_prometheus_accepts_the_configuration(name: str) -> None:
    done = subprocess.run(
        [promtool(), "check", "config", PROMETHEUS / name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("rules found") == len(RULE_FILES)


def test_both_configurations_scrape_the_same_jobs_at_the_same_pace() -> None:
    compose, local = (yaml.safe_load((PROMETHEUS / name).read_text()) for name in ("prometheus.yml", "local.yml"))
    assert compose["global"] == local["global"]
    assert [job["job_name"] for job in compose["scrape_configs"]] == [
        job["job_name"] for job in local["scrape_configs"]
    ]
