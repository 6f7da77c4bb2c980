"""Every setting of every process: type, unit, default, environment name (`TALLY_` + the field's name in capitals).

All problems are reported at once, at start, by `load()`; a `TALLY_` name that no setting has is one of them.
"""

import os
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

PREFIX = "TALLY_"

# The largest Kafka message of any topic, with its key and headers: what producers send, brokers take, dead letters fit.
MESSAGE_BYTES_MAX = 2 * 2**20
# A body may be one event. Enriched, what was taken out of it stands in its record a second time; half of the message is
# left for the rest. Without these bounds an event would be too large for Kafka, and be answered 503 for ever.
_BODY_BYTES_MAX = MESSAGE_BYTES_MAX // 4
_EVENT_BYTES_MAX = MESSAGE_BYTES_MAX // 2

SECRET_CHARS_MIN = 16

# What streams remembers of a message id, of a visitor in one session gap at most, its texts shortened, and how many
# such slices of late events.
SEEN_ID_BYTES = 12
SLICE_BYTES_MAX = 4_000
LATE_SLICES = 96

Port = Annotated[int, Field(ge=0, le=65535)]  # 0: the system picks a free one
Positive = Annotated[int, Field(gt=0)]

# The moment at which ClickHouse deletes a row is counted in 32 bits of seconds: beyond 2106 it begins anew in 1970, and
# the row is deleted at once.
_DAYS_MAX = 18_250


def _days(value: int) -> int:
    if value > _DAYS_MAX:
        raise ValueError(
            f"at most {_DAYS_MAX:,} days, fifty years: ClickHouse cannot count beyond 2106, and would delete at once "
            "what is to be kept for longer. To keep a table's rows for ever, ALTER TABLE … REMOVE TTL: apply leaves "
            "that as it is"
        )
    return value


Days = Annotated[int, Field(gt=0), AfterValidator(_days)]


class SettingsError(ValueError):
    """The environment does not make valid settings. `problems` has one line for each, naming the variable."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("invalid settings:\n" + "\n".join(f"  {problem}" for problem in problems))


class Settings(BaseModel):
    """The settings; a field's name ends with its unit where it has one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # --- all processes
    kafka_bootstrap: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, comma separated")
    topic_prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]*$", description="put before every topic, group and changelog name"
    )
    partitions: Positive = Field(
        12, description="partitions of raw_events and of all topics keyed like it; fixed within a generation"
    )
    replication_factor: Positive = Field(1, description="copies of each partition; 3 in production")
    schema_registry_url: str | None = Field(
        None, description="Confluent-compatible registry; unset: the committed id list"
    )
    log_format: Literal["console", "json"] = Field("console", description="log lines for people or for machines")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe level that is logged"
    )
    admin_host: str = Field("127.0.0.1", description="address of the admin ports: /healthz /readyz /metrics")

    # --- how long things are kept: `python -m schemas apply` lengthens to these and never shortens
    topic_events_days: Positive = Field(
        7,
        description="days that Kafka keeps raw_events, enriched_events and identity_claims: how far back a replay goes",
    )
    topic_sessions_days: Positive = Field(30, description="days that Kafka keeps a session after its last change")
    topic_dead_letters_days: Positive = Field(30, description="days that Kafka keeps dead_letters")
    table_events_days: Days | None = Field(
        None, description="days that the tables events and sessions keep a row; unset: two years"
    )
    table_rollups_days: Days | None = Field(
        None, description="days that the tables events_hourly and events_daily keep a row; unset: five years"
    )
    table_dead_letters_days: Days | None = Field(
        None, description="days that the table dead_letters keeps a row; unset: two years"
    )

    # --- collector
    collector_host: str = Field("127.0.0.1", description="address the collector listens on")
    collector_port: Port = Field(8080, description="HTTP port of the collector")
    collector_admin_port: Port = Field(8081, description="admin port; process k of several listens on port + k")
    collector_processes: Positive = Field(1, description="processes that share the port (SO_REUSEPORT)")
    collector_event_bytes_max: Annotated[int, Field(gt=0, le=_EVENT_BYTES_MAX)] = Field(
        32 * 1024, description="one event; larger: dead letter"
    )
    collector_body_bytes_max: Annotated[int, Field(gt=0, le=_BODY_BYTES_MAX)] = Field(
        512_000, description="one request body after decompression; larger: refused with 400"
    )
    collector_batch_events_max: Positive = Field(
        2_500, description="events of one batch; larger: answered 200, events dead-lettered"
    )
    collector_whatsapp_body_bytes_max: Annotated[int, Field(gt=0, le=64 * 2**20)] = Field(
        3 * 2**20 + 64 * 1024, description="one webhook's body; WhatsApp's have up to 3 MiB; larger: refused with 400"
    )
    collector_inflight_bytes_max: Positive = Field(
        64 * 2**20, description="bytes waiting for Kafka's ack, and of bodies still arriving; above: 503"
    )
    collector_ack_wait_ms_max: Positive = Field(10_000, description="longest wait for Kafka's ack; past it: 503")
    collector_linger_ms: Annotated[int, Field(ge=0)] = Field(
        5, description="wait for a Kafka batch to fill; at 0 a request costs twice the CPU, here and in Kafka"
    )
    collector_retry_after_s: Positive = Field(5, description="Retry-After of a 503")
    collector_body_read_ms_max: Positive = Field(
        15_000, description="longest time a client may take to send its request, or to read large answers"
    )
    collector_header_bytes_max: Annotated[int, Field(ge=8192, le=2**20)] = Field(
        64 * 1024, description="one header, or the address with its query; larger: 400. All headers: twice as much"
    )
    collector_connections_max: Positive = Field(10_000, description="open connections of one process; more: 503")
    collector_connections_per_address_max: Positive = Field(
        1_000, description="open connections of one IPv4 address or IPv6 /64; trusted proxies may have more"
    )
    collector_keepalive_s: Positive = Field(75, description="idle connections are closed after this")
    collector_stop_ms_max: Positive = Field(20_000, description="longest drain on SIGTERM")
    collector_drain_delay_ms: Annotated[int, Field(ge=0)] = Field(
        0,
        description="after SIGTERM, serve on for so long, not ready: until load balancers have noticed (5,000-15,000)",
    )
    collector_browser_sdks_path: str | None = Field(
        None, description="node_modules folder with @segment/analytics-next and @jitsu/js, to serve their scripts"
    )
    collector_whatsapp_apps_path: str | None = Field(
        None,
        description="file of the secrets of WhatsApp's webhooks, for its owner alone (chmod 600), read again when it "
        "changes; unset: no webhooks",
    )
    collector_whatsapp_ids_secret: SecretStr = Field(
        SecretStr(""), description="hashes customers' ids for projects that want it; the same for ever, on all machines"
    )
    collector_handshake_secret: SecretStr = Field(
        SecretStr(""), description="makes and recognises handshake tokens; at least 16 characters; unset: no tokens"
    )
    collector_handshake_secret_before: SecretStr = Field(
        SecretStr(""), description="the one before, while tokens of it are still about: 7 days at most"
    )
    collector_handshakes_per_minute: Positive = Field(
        60, description="handshake tokens that one address may ask a process for; more: 429"
    )
    collector_trusted_proxies: str = Field(
        "", description="CIDRs of proxies, comma separated, that are believed about addresses, scheme and host"
    )
    collector_address_headers: str = Field(
        "x-forwarded-for,forwarded,x-real-ip,cf-connecting-ip",
        pattern=r"^ *[A-Za-z][A-Za-z0-9-]* *(, *[A-Za-z][A-Za-z0-9-]* *)*$",
        description="where trusted proxies put the visitor's address; the first header that has one counts",
    )
    collector_public_url: str = Field(
        "",
        pattern=r"^(https?://[^\s/?#@\"'<>\\]+(/[^\s?#\"'<>\\]*)?)?$",
        description="where browsers find the collector (https://events.example.com); unset: as they asked for it",
    )
    collector_timestamp_past_s_max: Positive = Field(365 * 86400, description="older timestamps become received_at")
    collector_import_past_s_max: Positive = Field(
        730 * 86400, description="the same for /v1/import: as long as events are kept, 2 years"
    )
    collector_way_ms_max: Annotated[int, Field(ge=0)] = Field(
        60_000,
        description="a request that arrives so long after its sentAt was on its way, and its client's clock is right; "
        "later, or sent in our future: the clock is wrong and corrected",
    )
    collector_timestamp_future_s_max: Positive = Field(3600, description="timestamps further ahead become received_at")

    # --- streams
    streams_admin_port: Port = Field(8082, description="admin port of the worker")
    streams_app_id: str = Field("tally-streams", description="Faust app and consumer group; prefixed with topic_prefix")
    streams_generation: Annotated[int, Field(ge=1, lt=2**15)] = Field(
        1, description="raise when raw_events is recreated or repartitioned: starts new tables, versions and watermarks"
    )
    streams_instance_id: str | None = Field(None, description="static group membership; unique per worker")
    streams_chunk_records_max: Positive = Field(10_000, description="records of one partition handled at once")
    streams_chunk_ms_max: Positive = Field(120, description="how long a fetch waits for a chunk to fill")
    streams_links_max: Positive = Field(
        50, description="users one visitor can be linked to; more: a device that many share, later ones are not linked"
    )
    streams_handshake_s_max: Positive = Field(
        7 * 86400, description="how far apart two ids may be seen with one handshake token and still be tied"
    )
    streams_identity_s_max: Positive = Field(
        400 * 86400, description="how long after its last claim a visitor's links are remembered; cookies live as long"
    )
    streams_epoch_ms_max: Positive = Field(500, description="age at which an epoch is made durable")
    streams_epoch_records_max: Positive = Field(50_000, description="records at which an epoch is made durable")
    streams_dedup_window_s: Positive = Field(7 * 86400, description="how long a message_id is remembered")
    streams_seen_ids_max: Positive = Field(10_000, description="message ids remembered per session key, newest kept")
    streams_session_gap_s: Positive = Field(1800, description="a session ends after this long without an event")
    streams_session_s_max: Positive = Field(86400, description="a session ends at this length")
    streams_session_client_whole: bool = Field(
        False, description="true: neither gap nor length ends a session that has the client's own session id"
    )
    streams_lateness_s_max: Positive = Field(86400, description="an event this late still extends or bridges sessions")
    streams_clock_ahead_s_max: Positive = Field(
        7_200,
        description="an event further ahead of the time at which Kafka took it came from a wrong clock, and takes that "
        "time; more than collector_timestamp_future_s_max",
    )
    streams_user_agent_cache_max: Positive = Field(50_000, description="distinct user agents remembered")
    streams_address_cache_max: Positive = Field(100_000, description="distinct IP addresses remembered")
    streams_geo_country_path: str | None = Field(None, description="country database (.mmdb); unset: no country")
    streams_geo_city_path: str | None = Field(None, description="city database (.mmdb), IPv4 or both; unset: no city")
    streams_geo_city_v6_path: str | None = Field(
        None, description="city database (.mmdb) for IPv6 when it is a file of its own"
    )
    streams_bot_signatures_path: str | None = Field(
        None, description="JSON list of robots ({pattern}); unset: the built-in list"
    )
    streams_stuck_s_max: Positive = Field(120, description="work without progress for this long ends the worker")
    streams_dead_share_max: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="more of a topic's last records as dead letters end the worker without a commit; 1: never"
    )
    streams_dead_share_records: Positive = Field(10_000, description="how many records the share is taken of")
    streams_dead_run_max: Positive = Field(
        1_000, description="more dead letters in a row, without any other record, end the worker without a commit"
    )
    streams_set_aside: str = Field(
        "",
        pattern=r"^ *((raw_events|identity_claims)/\d+/\d+(-\d+)? *(, *|$))*$",
        description="records that become dead letters unprocessed, when a step fails on them and nothing else helps: "
        "topic/partition/offset or topic/partition/first-last, comma separated",
    )
    streams_secret_traits: str = Field(
        "pin,password,token,secret", description="traits that are not kept in identities, comma separated"
    )

    # --- sinks
    sinks_admin_port: Port = Field(8083, description="admin port of the sink")
    sinks_group: str = Field(
        "tally-sinks", description="consumer group; prefixed with topic_prefix, followed by the topic"
    )
    sinks_instance_id: str | None = Field(
        None, description="static group membership; unique per process: a restarted one goes on at once"
    )
    sinks_session_ms_max: Annotated[int, Field(ge=6_000)] = Field(
        10_000, description="a sink not heard of for so long loses its partitions to the others"
    )
    sinks_flush_age_ms_max: Positive = Field(1_000, description="age at which a batch is written at the latest")
    sinks_flush_age_ms_min: Positive = Field(
        250,
        description="age at which a batch of events or dead letters is written while the database has time to spare; "
        "less is more INSERTs",
    )
    sinks_flush_rows_max: Positive = Field(
        100_000, description="rows at which a batch is written; below ClickHouse's max_insert_block_size"
    )
    sinks_flush_bytes_max: Positive = Field(64 * 2**20, description="bytes at which a batch is written")
    sinks_buffer_bytes_max: Positive = Field(
        256 * 2**20, description="bytes of one topic held before consumption pauses"
    )
    sinks_heal_bytes_max: Positive = Field(
        64 * 2**20, description="bytes of one topic's rows kept to be sent again to views that failed"
    )
    sinks_request_ms_max: Positive = Field(60_000, description="longest wait for the database's answer to one request")
    sinks_revoke_ms_max: Positive = Field(
        5_000, description="longest wait for a batch under way when its partition is taken away"
    )
    sinks_retry_ms_max: Positive = Field(30_000, description="longest pause between tries while the database is away")
    sinks_stop_ms_max: Positive = Field(20_000, description="longest graceful stop")
    sinks_collector_admin_url: str | None = Field(
        None,
        pattern=r"^https?://[^/]+$",
        description="admin port of a collector, where `replay` posts what collectors refused; "
        "unset: TALLY_ADMIN_HOST and TALLY_COLLECTOR_ADMIN_PORT",
    )
    sinks_ledger_interval_s: Annotated[int, Field(ge=0)] = Field(
        60, description="how often the ledger is brought up to date for the metrics; 0: never"
    )
    sinks_ledger_projects_max: Annotated[int, Field(ge=0)] = Field(
        50, description="projects with figures of their own in the ledger's metrics; the others are one: other"
    )
    sinks_rollups_interval_s: Annotated[int, Field(ge=0)] = Field(
        300, description="how often events_hourly and events_daily are made equal to the events; 0: never"
    )
    clickhouse_host: str = Field("127.0.0.1", description="ClickHouse server")
    clickhouse_tcp_port: Port = Field(9000, description="native protocol: DDL and queries")
    clickhouse_http_port: Port = Field(8123, description="HTTP: inserts")
    clickhouse_database: str = Field("tally", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="database of all tables")
    clickhouse_insert_quorum: str = Field(
        "auto",
        pattern=r"^(auto|\d{1,3})$",
        description="replicated tables: replicas that must have a batch before it counts; auto: most; 0: one",
    )
    clickhouse_user: str = Field("default", description="ClickHouse user")
    clickhouse_password: SecretStr = Field(SecretStr(""), description="ClickHouse password")

    @field_validator("collector_trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for cidr in filter(None, map(str.strip, value.split(","))):
            ip_network(cidr)  # raises ValueError naming it
        return value

    @field_validator("topic_prefix")
    @classmethod
    def _short_prefix(cls, value: str) -> str:
        if len(value) > 100:
            raise ValueError("at most 100 characters: Kafka names end at 249")
        return value

    def conflicts(self) -> list[str]:
        """Values that are sound each by itself and cannot work together; a line each, naming the variables."""
        found = []
        if self.streams_clock_ahead_s_max <= self.collector_timestamp_future_s_max:
            found.append(
                f"{PREFIX}STREAMS_CLOCK_AHEAD_S_MAX: must be more than {PREFIX}COLLECTOR_TIMESTAMP_FUTURE_S_MAX "
                f"({self.collector_timestamp_future_s_max}), or events that collectors admit lose their time"
            )
        found += [
            f"{PREFIX}{name.upper()}: at least {SECRET_CHARS_MIN} characters, or it can be guessed"
            for name in (
                "collector_handshake_secret",
                "collector_handshake_secret_before",
                "collector_whatsapp_ids_secret",
            )
            if 0 < len(getattr(self, name).get_secret_value()) < SECRET_CHARS_MIN
        ]
        if self.streams_session_gap_s > self.streams_session_s_max:
            found.append(f"{PREFIX}STREAMS_SESSION_GAP_S: more than {PREFIX}STREAMS_SESSION_S_MAX, the longest session")
        if self._state_bytes_max() > MESSAGE_BYTES_MAX:
            found.append(
                f"{PREFIX}STREAMS_SEEN_IDS_MAX, {PREFIX}STREAMS_SESSION_GAP_S: what is remembered of one visitor would "
                f"have up to {self._state_bytes_max()} bytes, a Kafka message has {MESSAGE_BYTES_MAX}: fewer ids, "
                f"a longer gap, or less of {PREFIX}STREAMS_LATENESS_S_MAX and {PREFIX}STREAMS_SESSION_S_MAX"
            )
        return found

    def _state_bytes_max(self) -> int:
        """Of the largest state: ids, a slice for each gap that a late event can reach, slices of late events."""
        slices = (self.streams_lateness_s_max + self.streams_session_s_max) // self.streams_session_gap_s + 1
        slices += LATE_SLICES
        return self.streams_seen_ids_max * SEEN_ID_BYTES + slices * SLICE_BYTES_MAX

    def topic(self, name: str) -> str:
        """The broker's name of a topic of `schemas.topics`."""
        return f"{self.topic_prefix}{name}"


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment (`os.environ` unless given).

    Raises SettingsError with every problem: bad values and unknown `TALLY_` names.
    """
    environ = os.environ if environ is None else environ
    known = {f"{PREFIX}{name.upper()}": name for name in Settings.model_fields}
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    problems = [
        f"{name}: no such setting (see `python -m schemas show settings`)"
        for name in sorted(given.keys() - known.keys())
    ]
    values: dict[str, Any] = {known[name]: value for name, value in given.items() if name in known}
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = f"{PREFIX}{str(problem['loc'][0]).upper()}" if problem["loc"] else PREFIX
            problems.append(f"{name}: {problem['msg']}")
        raise SettingsError(problems) from None
    problems += settings.conflicts()
    if problems:
        raise SettingsError(problems)
    return settings


def to_environ(settings: Settings) -> dict[str, str]:
    """The environment that `load` turns into these settings: how a parent hands them to a child process."""
    values = settings.model_dump()
    environ = {}
    for name, value in values.items():
        if value is not None:
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            environ[f"{PREFIX}{name.upper()}"] = str(plain)
    return environ
