"""One request's way: authenticate → parse → admit → encode → publish, in one go and without waiting.

    http.app ──▶ authenticate ──▶ (body arrives) ──▶ accept: parse ─▶ admit ─┬─▶ encode ─▶ publish ──▶ Pending
                                                                             └─▶ refused ─▶ dead letters ─┘

Nothing of a request stays behind but the acknowledgement it waits for; with that, `http.app` answers.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from collector.errors import Refusal, RefusedRequest
from collector.events.admit import Admission, Limits, admit, refuse_batch
from collector.events.arrival import Arrival
from collector.events.event_ids import EventIds
from collector.events.parse import Call, MalformedError, parse_batch, parse_single
from collector.events.readmit import DeadLetter, readmit
from collector.events.session_key import visitor_of
from collector.events.times import Bounds
from collector.kafka.encode import Encoders
from collector.kafka.publisher import Batches, OverloadedError, Publisher, Record, size_of
from collector.projects.authenticate import Credentials, find_early, require_project
from collector.projects.directory import Project, ProjectDirectory
from collector.whatsapp.ingest import WhatsAppIngest, is_of_webhook
from schemas import keys
from schemas.settings import Settings

_NONE: Final[Counter[str]] = Counter()
# What a record has besides what stood in the body: ids, names of tenant and project, times, address, the key.
_OWN_BYTES: Final = 400


class Sender(msgspec.Struct, gc=False):
    """Who sends a request. origin: of the page, from a browser; ip_policy: X-IP-Policy; None without."""

    credentials: Credentials
    ip_address: str
    user_agent: str
    origin: str | None
    ip_policy: str | None = None


class Pending(msgspec.Struct, gc=False):
    """A request whose events wait for Kafka: how many were admitted, how many refused by reason, how large it was."""

    durable: "asyncio.Future[bool] | None"
    admitted: int
    refused: Counter[str]
    body_bytes: int


class Ingest:
    """Takes requests to Kafka. `clock` gives seconds since 1970."""

    def __init__(
        self,
        settings: Settings,
        *,
        directory: ProjectDirectory,
        publisher: Publisher,
        encoders: Encoders,
        ids: EventIds,
        clock: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._publisher = publisher
        self._inflight_bytes_max = settings.collector_inflight_bytes_max
        self._encoders = encoders
        self._ids = ids
        self._clock = clock
        self._limits: Final = Limits(
            settings.collector_event_bytes_max,
            settings.collector_batch_events_max,
            Bounds(settings.collector_timestamp_past_s_max, settings.collector_timestamp_future_s_max),
            Bounds(settings.collector_import_past_s_max, settings.collector_timestamp_future_s_max),
            settings.collector_way_ms_max,
        )
        self._raw_events = settings.topic("raw_events")
        self._dead_letters = settings.topic("dead_letters")
        self.whatsapp: Final = WhatsAppIngest(
            settings,
            directory=directory,
            publisher=publisher,
            encoders=encoders,
            ids=ids,
            limits=self._limits,
            clock=clock,
        )

    def require_room(self) -> None:
        """Raises RefusedRequest when as much waits for Kafka as may."""
        if self._publisher.inflight_bytes >= self._inflight_bytes_max:
            raise RefusedRequest(Refusal.OVERLOADED)

    def authenticate(self, sender: Sender) -> Project | None:
        """Who sends, by what stands outside the body; None when only the body can tell. Raises RefusedRequest."""
        project = find_early(self._directory, sender.credentials)
        if project is not None:
            _require_origin(project, sender)
        return project

    def require(self, sender: Sender, found: Project | None, body_key: str | None) -> Project:
        """The project found by `authenticate`, else that of the body's key. Raises RefusedRequest."""
        if found is not None:
            return found
        project = require_project(self._directory, None, sender.credentials, body_key)
        _require_origin(project, sender)
        return project

    def accept(self, call: Call, body: bytes, sender: Sender, found: Project | None) -> Pending:
        """Parse, admit, encode and publish for a project found by `authenticate`, else for that of the body's key.

        Raises RefusedRequest.
        """
        try:
            if call.is_batch:
                batch = parse_batch(body, is_key_known=found is not None)
            else:
                batch = parse_single(body, key_wanted=found is None)
            project = self.require(sender, found, batch.write_key)
            received_at = int(self._clock() * 1000)
            arrival = Arrival(
                project,
                received_at,
                sender.ip_address,
                sender.user_agent,
                call.event_type,
                sender.ip_policy,
                call.is_import,
            )
            if len(batch.events) > self._limits.batch_events_max:
                admission = refuse_batch(batch, body, arrival, self._limits)
            else:
                admission = admit(batch, arrival, self._limits, self._ids)
        except MalformedError as error:
            raise RefusedRequest(Refusal.MALFORMED, str(error)) from None
        records = self._records(admission, project)
        refused: Counter[str] = Counter(event.reason for event in admission.refused) if admission.refused else _NONE
        try:
            count = len(admission.admitted)
            # Of refused events the context is kept with each, unless it is too large for that.
            kept_bytes = sum(len(event.arrival) for event in admission.refused) if admission.refused else 0
            size = len(body) + _OWN_BYTES * (count + len(admission.refused)) + len(batch.context) * count + kept_bytes
            future = self._publisher.publish(records, size) if records else None
        except OverloadedError:
            raise RefusedRequest(Refusal.OVERLOADED) from None
        return Pending(future, len(admission.admitted), refused, len(body))

    def replay(self, dead_letters: Sequence[DeadLetter]) -> tuple["asyncio.Future[bool] | None", list[str]]:
        """Dead letters, judged again: the acknowledgement to wait for, and of each "" or why it is refused.

        What is refused again is the dead letter that it was. Raises OverloadedError.
        """
        by_topic: dict[str, list[Record]] = {}
        outcomes = []
        for dead_letter in dead_letters:
            if is_of_webhook(dead_letter):
                again, outcome = self.whatsapp.take_again(dead_letter)
                outcomes.append(outcome)
                for topic, records in again:
                    by_topic.setdefault(topic, []).extend(records)
                continue
            project = self._directory.by_key(dead_letter.write_key)
            if project is None or project.is_disabled:
                outcomes.append("project_unknown_or_disabled")
                continue
            admission, outcome = readmit(dead_letter, project, self._limits, self._ids)
            outcomes.append(outcome)
            for topic, records in self._records(admission, project):
                by_topic.setdefault(topic, []).extend(records)
        batches = list(by_topic.items())
        return (self._publisher.publish(batches, size_of(batches)) if batches else None), outcomes

    def _records(self, admission: Admission, project: Project) -> Batches:
        batches: Batches = []
        if admission.admitted:
            encode = self._encoders.raw_events.encode
            key_of = keys.of_raw_event
            scope, nobody = project.scope, self._directory.placeholders(project.project_id)
            records: list[Record] = [
                {
                    "key": key_of(
                        scope,
                        visitor_of(event.anonymous_id, event.user_id, event.ip_address, event.user_agent, nobody),
                        event.client_session_id,
                    ),
                    "value": encode(event),
                }
                for event in admission.admitted
            ]
            batches.append((self._raw_events, records))
        if admission.refused:
            encode_dead = self._encoders.dead_letters.encode
            key = project.dead_letter_key
            dead: list[Record] = [{"key": key, "value": encode_dead(event, project)} for event in admission.refused]
            batches.append((self._dead_letters, dead))
        return batches


def _require_origin(project: Project, sender: Sender) -> None:
    if sender.origin is not None and not project.allows(sender.origin):
        raise RefusedRequest(Refusal.ORIGIN_NOT_ALLOWED)
