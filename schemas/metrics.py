"""Every metric of every process: `tally_<process>_<name>_<unit>`, counters end in `_total`.

One class a process, built once in its `__main__` on a registry of its own. Labels come from bounded sets. Metrics are
counted per request, chunk, epoch or batch, never per event.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.outcomes import DeadReason, DropReason, HandshakeOutcome, Outcome, Remark

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_EVENTS: Final = (1, 2, 5, 10, 20, 50, 100, 250, 500, 1000, 2500)
_RECORDS: Final = (1, 10, 100, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
_DELAY_SECONDS: Final = (1, 2, 5, 10, 30, 60, 300, 600, 3600, 86_400, 604_800)
_OF_CLAIMS: Final = frozenset({Remark.ID_SHARED, Remark.TRAITS_CUT})
_LATENCY_SECONDS: Final = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 3600)


class CollectorMetrics:
    """HTTP → raw_events."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests_total = Counter(
            "tally_collector_requests_total", "requests answered", ["route", "status"], registry=registry
        )
        self.refusals_total = Counter(
            "tally_collector_refusals_total",
            "requests refused, and connections, by why: the names of collector.errors.Refusal",
            ["refusal"],
            registry=registry,
        )
        self.events_total = Counter(
            "tally_collector_events_total",
            "events of requests: accepted (in raw_events), dead (in dead_letters), unavailable (503)",
            ["outcome", "reason"],
            registry=registry,
        )
        # A series that begins with its first value hides that value from increase().
        self.events_total.labels("dead", DeadReason.PHONE_NUMBER_UNKNOWN)
        self.request_seconds = Histogram(
            "tally_collector_request_seconds", "arrival to answer", buckets=_SECONDS, registry=registry
        )
        self.request_events = Histogram(
            "tally_collector_request_events", "events a request", buckets=_EVENTS, registry=registry
        )
        self.received_bytes_total = Counter(
            "tally_collector_received_bytes_total", "body bytes after decompression", registry=registry
        )
        self.inflight_bytes = Gauge(
            "tally_collector_inflight_bytes", "bytes waiting for Kafka's ack", registry=registry
        )
        self.receiving_bytes = Gauge(
            "tally_collector_receiving_bytes", "bytes of bodies that are still arriving", registry=registry
        )
        self.connections = Gauge("tally_collector_connections", "connections open", registry=registry)
        self.projects = Gauge("tally_collector_projects", "write keys known", registry=registry)
        self.whatsapp_requests_total = Counter(
            "tally_collector_whatsapp_requests_total",
            "webhooks answered: accepted, or why refused, the names of collector.errors.Refusal",
            ["result"],
            registry=registry,
        )
        for result in ("accepted", "signature_wrong"):
            self.whatsapp_requests_total.labels(result)
        self.whatsapp_items_total = Counter(
            "tally_collector_whatsapp_items_total",
            "items of webhooks that are durable, by field: event, dead, ignored (nothing to be kept), unread (a field "
            "that nobody reads)",
            ["field", "outcome"],
            registry=registry,
        )
        self.whatsapp_tokens_total = Counter(
            "tally_collector_whatsapp_tokens_total",
            "messages by business number: with a handshake token (found), or with what looks like one and is wrong "
            "(invalid)",
            ["number", "outcome"],
            registry=registry,
        )
        self.whatsapp_delay_seconds = Histogram(
            "tally_collector_whatsapp_delay_seconds",
            "age of a webhook's oldest item when it came, one observation a webhook; a repeat is as old as the item",
            buckets=_DELAY_SECONDS,
            registry=registry,
        )
        self.whatsapp_last_seen_seconds = Gauge(
            "tally_collector_whatsapp_last_seen_seconds",
            "when a field of webhooks came last, seconds since 1970; none: not since the process began",
            ["field"],
            registry=registry,
        )


class StreamsMetrics:
    """raw_events → everything derived."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records_total = Counter(
            "tally_streams_records_total",
            "records of raw_events and identity_claims by outcome: keep, drop, dead",
            ["topic", "outcome", "reason"],
            registry=registry,
        )
        for outcome, reason in ((Outcome.KEEP, ""), (Outcome.DROP, DropReason.DUPLICATE)):
            # A series that begins with its first value hides that value from rate().
            self.records_total.labels("raw_events", outcome, reason)
        self.remarks_total = Counter(
            "tally_streams_remarks_total",
            "what happened besides outcomes, in events or states: the names of schemas.outcomes.Remark",
            ["topic", "remark"],
            registry=registry,
        )
        for remark in Remark:
            self.remarks_total.labels("identity_claims" if remark in _OF_CLAIMS else "raw_events", remark)
        self.conversation_facts_total = Counter(
            "tally_streams_conversation_facts_total",
            "signals of conversations by kind, and what became of them: the names of schemas.outcomes.FactOutcome",
            ["kind", "outcome"],
            registry=registry,
        )
        self.handshakes_total = Counter(
            "tally_streams_handshakes_total",
            "handshake tokens that messages brought, by what became of them: schemas.outcomes.HandshakeOutcome",
            ["outcome"],
            registry=registry,
        )
        for handshake in HandshakeOutcome:
            self.handshakes_total.labels(handshake)
        self.conversations = Gauge(
            "tally_streams_conversations",
            "open conversations by state; '' for those that no signal has touched since the worker restored them",
            ["state"],
            registry=registry,
        )
        self.published_total = Counter(
            "tally_streams_published_total", "records durable on a topic", ["topic"], registry=registry
        )
        self.dead_share = Gauge(
            "tally_streams_dead_share",
            "share of the last records (streams_dead_share_records) that became dead letters; above "
            "streams_dead_share_max the worker ends",
            ["topic"],
            registry=registry,
        )
        self.chunk_records = Histogram(
            "tally_streams_chunk_records", "records a chunk", buckets=_RECORDS, registry=registry
        )
        self.chunk_seconds = Histogram(
            "tally_streams_chunk_seconds", "the five steps on a chunk", buckets=_SECONDS, registry=registry
        )
        self.epoch_seconds = Histogram(
            "tally_streams_epoch_seconds", "making an epoch durable", buckets=_SECONDS, registry=registry
        )
        self.epoch_records = Histogram(
            "tally_streams_epoch_records", "records an epoch", buckets=_RECORDS, registry=registry
        )
        self.states = Gauge("tally_streams_states", "session states held", ["table"], registry=registry)
        self.state_bytes = Gauge(
            "tally_streams_state_bytes", "bytes of keys and states held", ["table"], registry=registry
        )
        self.largest_state_bytes = Gauge(
            "tally_streams_largest_state_bytes",
            "the largest state written since the start; above 1 MiB the texts of a session state are shortened",
            ["table"],
            registry=registry,
        )
        self.hot_key_share = Gauge(
            "tally_streams_hot_key_share",
            "share that the hottest keys have of the worker's last records of raw_events, about a million; by rank, "
            "at most a hundredth too low; the admin port's /keys names them",
            ["rank"],
            registry=registry,
        )
        self.evicted = Gauge(
            "tally_streams_evicted",
            "states that left since the start, their window having passed",
            ["table"],
            registry=registry,
        )
        self.restored = Gauge(
            "tally_streams_restored", "changelog records applied since the start", ["table"], registry=registry
        )
        self.restore_remaining = Gauge(
            "tally_streams_restore_remaining",
            "changelog records that a restore under way has still to read",
            registry=registry,
        )
        self.lag_records = Gauge(
            "tally_streams_lag_records",
            "records between the group's offset, or the log's beginning where it has none, and the log's end",
            ["topic", "partition"],
            registry=registry,
        )
        self.expired_records_total = Counter(
            "tally_streams_expired_records_total",
            "records that retention deleted before they were read",
            ["topic"],
            registry=registry,
        )
        for topic in ("raw_events", "identity_claims"):
            self.expired_records_total.labels(topic)
        self.invariants_broken_total = Counter(
            "tally_streams_invariants_broken_total",
            "what must never happen and did; the worker ended without a commit: contiguous (records stepped over), "
            "in_order (enriched events out of order), not_ahead (states of outputs that are not durable)",
            ["invariant"],
            registry=registry,
        )
        for invariant in ("contiguous", "in_order", "not_ahead"):
            self.invariants_broken_total.labels(invariant)
        self.lag_seconds = Gauge(
            "tally_streams_lag_seconds",
            "age of what is not committed in the partition that is furthest behind: since Kafka took the newest record "
            "committed, or the first one read; at least since when it is known to wait",
            registry=registry,
        )
        self.oldest_chunk_seconds = Gauge(
            "tally_streams_oldest_chunk_seconds", "age of the oldest chunk in flight", registry=registry
        )
        self.cache_entries = Gauge(
            "tally_streams_cache_entries", "entries of an enrichment's cache", ["cache"], registry=registry
        )
        self.cache_misses_total = Counter(
            "tally_streams_cache_misses_total", "values looked up afresh", ["cache"], registry=registry
        )
        self.recovering = Gauge("tally_streams_recovering", "1 while tables are restored", registry=registry)


class SinksMetrics:
    """Topics → database."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records_total = Counter(
            "tally_sinks_records_total",
            "records by outcome: keep (row durable), drop (replayed, or superseded within the batch), dead",
            ["topic", "outcome", "reason"],
            registry=registry,
        )
        self.batches_total = Counter(
            "tally_sinks_batches_total",
            "batches by outcome: written, already_there, retried",
            ["topic", "outcome"],
            registry=registry,
        )
        self.batch_rows = Histogram(
            "tally_sinks_batch_rows", "rows a batch", ["topic"], buckets=_RECORDS, registry=registry
        )
        self.flush_seconds = Histogram(
            "tally_sinks_flush_seconds", "writing a batch", ["topic"], buckets=_SECONDS, registry=registry
        )
        self.latency_seconds = Histogram(
            "tally_sinks_latency_seconds",
            "received_at of a batch's oldest record to its row being queryable, one observation a batch",
            ["topic"],
            buckets=_LATENCY_SECONDS,
            registry=registry,
        )
        self.lag_records = Gauge(
            "tally_sinks_lag_records", "records not yet committed", ["topic", "partition"], registry=registry
        )
        self.lag_seconds = Gauge(
            "tally_sinks_lag_seconds",
            "age of the oldest record that is not durable, since Kafka took it",
            ["topic"],
            registry=registry,
        )
        self.database_up = Gauge(
            "tally_sinks_database_up",
            "1 when the last batch was taken by the database, 0 when it waits for it",
            ["topic"],
            registry=registry,
        )
        self.stopped = Gauge(
            "tally_sinks_stopped",
            "1 while a topic waits for somebody to act: schema_id_unknown, registry_away, type_changed, "
            "dead_letter_refused",
            ["topic", "cause"],
            registry=registry,
        )
        self.expired_records_total = Counter(
            "tally_sinks_expired_records_total",
            "records that retention deleted before they were read",
            ["topic"],
            registry=registry,
        )
        self.view_failures_total = Counter(
            "tally_sinks_view_failures_total",
            "INSERTs that failed in a materialized view, their rows standing in the table",
            ["topic", "view"],
            registry=registry,
        )
        self.view_lacking_rows = Gauge(
            "tally_sinks_view_lacking_rows",
            "rows that stand in the table, may lack in a view, and will be sent again",
            ["topic"],
            registry=registry,
        )
        self.view_rows_given_up_total = Counter(
            "tally_sinks_view_rows_given_up_total",
            "rows that may lack in a view and are not sent again: the log has a statement that fills it",
            ["topic"],
            registry=registry,
        )
        self.rollups_buckets_total = Counter(
            "tally_sinks_rollups_buckets_total",
            "buckets of the roll-ups (an hour of a project) that differed from the events and were computed anew",
            registry=registry,
        )
        self.rollups_dirty_seconds = Gauge(
            "tally_sinks_rollups_dirty_seconds",
            "since when the oldest bucket of the roll-ups that differs from the events has been known to; 0: none does",
            registry=registry,
        )
        self.rollups_timestamp_seconds = Gauge(
            "tally_sinks_rollups_timestamp_seconds",
            "when the roll-ups were last made equal to the events, at first when the process began; 0: not kept here",
            registry=registry,
        )
        self.ledger_events = Gauge(
            "tally_sinks_ledger_events",
            "events of raw_events by outcome: accepted, stored, duplicate, dead, in_flight, lost, doubled; "
            "only in the process that keeps the ledger",
            ["outcome"],
            registry=registry,
        )
        self.ledger_project_events = Gauge(
            "tally_sinks_ledger_project_events",
            "settled events by project and outcome; project 'other' stands for all beyond sinks_ledger_projects_max",
            ["project", "outcome"],
            registry=registry,
        )
        self.ledger_difference = Gauge(
            "tally_sinks_ledger_difference",
            "accepted - stored - duplicate - dead - in_flight: anything but 0 is a fault",
            registry=registry,
        )
        self.ledger_unchecked = Gauge(
            "tally_sinks_ledger_unchecked", "settled events not compared with the tables yet", registry=registry
        )
        self.ledger_timestamp_seconds = Gauge(
            "tally_sinks_ledger_timestamp_seconds",
            "when the ledger was last brought up to date, at first when the process began; 0: not kept",
            registry=registry,
        )
