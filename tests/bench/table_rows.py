"""The rows of the README's table: which lines stand in each, and in what words."""

from typing import Final

from tests.bench.cells import Cell, baseline, joined, ratio, text, value

ROWS: Final[tuple[tuple[str, tuple[str, ...], Cell, Cell], ...]] = (
    (
        "one streams worker, one core, a backlog",
        ("streams_events_per_s", "streams_cpu_us_per_event", "streams_vs_copy"),
        joined(value("streams_events_per_s"), value("streams_cpu_us_per_event", " µs of CPU an event")),
        ratio("streams_vs_copy", "{} × the CPU of librdkafka consuming and producing the same bytes"),
    ),
    (
        "the same at a steady 2,000 events/s",
        ("streams_steady_cpu_us_per_event",),
        value("streams_steady_cpu_us_per_event", " µs of CPU an event"),
        ratio("streams_steady_cpu_us_per_event", "{} × its own CPU an event in a backlog: small chunks cost more"),
    ),
    (
        "a tuned per-event Faust agent (uvloop, Cython, orjson), the same bytes",
        ("streams_vs_stock_faust", "streams_steady_vs_stock_faust"),
        joined(
            baseline("streams_vs_stock_faust", "{} µs of CPU an event in a backlog"),
            baseline("streams_steady_vs_stock_faust", "{} µs at 2,000 events/s"),
        ),
        joined(
            ratio("streams_vs_stock_faust", "{} × the worker's in a backlog"),
            ratio("streams_steady_vs_stock_faust", "{} × at 2,000 events/s"),
        ),
    ),
    (
        "a worker with 1,000,000 live sessions (`BENCH=--long`)",
        ("worker_rss_per_million_sessions_mb", "restore_1m_s"),
        joined(
            value("worker_rss_per_million_sessions_mb"),
            value("restore_1m_s", " s from start to ready, restored from the changelog"),
        ),
        text(""),
    ),
    (
        "collector, 100 events a request, one core",
        ("collector_events_per_s", "collector_cpu_us_per_event"),
        joined(value("collector_events_per_s"), value("collector_cpu_us_per_event", " µs of CPU an event")),
        text(""),
    ),
    (
        "collector, one event a request",
        ("collector_vs_bare",),
        value("collector_vs_bare", " µs of CPU a request"),
        ratio("collector_vs_bare", "{} × an aiohttp handler that only reads the body"),
    ),
    (
        "sink, one core",
        ("sink_rows_per_s", "sink_cpu_us_per_row", "sink_vs_insert", "sink_vs_kafka_engine"),
        joined(value("sink_rows_per_s"), value("sink_cpu_us_per_row", " µs of its own CPU a row")),
        joined(
            ratio("sink_vs_insert", "{} × bare INSERTs of the same bytes"),
            ratio("sink_vs_kafka_engine", "{} × ClickHouse's Kafka engine at the better of two settings"),
        ),
    ),
    *(
        (
            f"{since} → queryable, 2,000 events/s, everything on the same cores",
            (f"{name}_p50_s", f"{name}_p95_s"),
            joined(value(f"{name}_p50_s", " s (p50)"), value(f"{name}_p95_s", " s (p95)")),
            text(""),
        )
        for since, name in (
            ("request due to be sent", "end_to_end_from_sending"),
            ("answer of the collector", "end_to_end"),
        )
    ),
    (
        "half of 300,000 events one visitor's (`BENCH=--long`)",
        ("hot_key_cpu_us_per_event", "hot_key_changelog_bytes_per_event"),
        joined(
            value("hot_key_cpu_us_per_event", " µs of CPU an event"),
            value("hot_key_changelog_bytes_per_event", " bytes of changelog an event of his at 2,000 events/s"),
        ),
        joined(
            ratio("hot_key_cpu_us_per_event", "{} × the CPU of even traffic"),
            ratio("hot_key_changelog_bytes_per_event", "{} × its bytes"),
        ),
    ),
    (
        "the last of 2,000,000 events of one visitor (`BENCH=--long`)",
        ("hot_key_growth_cpu_us_per_event",),
        value("hot_key_growth_cpu_us_per_event", " µs of CPU an event"),
        ratio("hot_key_growth_cpu_us_per_event", "{} × the first of them"),
    ),
    (
        "the highest rate that the whole pipeline holds, load and servers on the same cores (`BENCH=--all`)",
        ("held_events_per_s",),
        value("held_events_per_s"),
        text(""),
    ),
    (
        "answer of the collector → queryable at 20,000 events/s, or the highest rate held (`BENCH=--all`)",
        ("end_to_end_20k_p50_s", "end_to_end_20k_p95_s"),
        joined(value("end_to_end_20k_p50_s", " s (p50)"), value("end_to_end_20k_p95_s", " s (p95)")),
        ratio("end_to_end_20k_p95_s", "{} × the p95 at 2,000 events/s"),
    ),
    (
        "ClickHouse itself, merges too (`BENCH=--all`)",
        (
            "clickhouse_cpu_us_per_row",
            "clickhouse_steady_cpu_us_per_row",
            "clickhouse_parts_per_s",
            "clickhouse_bytes_per_row",
        ),
        joined(
            value("clickhouse_cpu_us_per_row", " µs of CPU a row of a backlog"),
            value("clickhouse_steady_cpu_us_per_row", " µs at 2,000 events/s"),
            value("clickhouse_parts_per_s", " parts made a second"),
            value("clickhouse_bytes_per_row", " bytes a row on disk"),
        ),
        text(""),
    ),
    (
        "two streams workers, Kafka and they on all cores (`BENCH=--all`)",
        ("scale_out_2_events_per_s", "scale_out_2_cpu_us_per_event"),
        joined(value("scale_out_2_events_per_s"), value("scale_out_2_cpu_us_per_event", " µs of CPU an event")),
        joined(
            ratio("scale_out_2_events_per_s", "{} × the rate of one worker"),
            ratio("scale_out_2_cpu_us_per_event", "{} × its CPU"),
        ),
    ),
    (
        "four and eight workers: a model, not measured (`BENCH=--all`)",
        ("scale_out_model_4_events_per_s", "scale_out_model_8_events_per_s"),
        joined(
            value("scale_out_model_4_events_per_s", " events/s with four"),
            value("scale_out_model_8_events_per_s", " with eight"),
        ),
        joined(
            ratio("scale_out_model_4_events_per_s", "{} × one worker in the model"),
            ratio("scale_out_model_8_events_per_s", "{} ×"),
        ),
    ),
)
