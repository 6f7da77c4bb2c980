"""The HTTP application: one callable that answers every request of the public port.

request → route → body → parse → authenticate → admit → encode → publish → answer
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import parse_qs

import structlog
from aiohttp import hdrs
from aiohttp.web_protocol import RequestPayloadError
from aiohttp.web_request import BaseRequest
from multidict import istr

from collector.addresses import TrustedProxies
from collector.admit import Admission, Arrival, Limits, admit
from collector.answers import Answer
from collector.authenticate import Credentials, find_project, require_project
from collector.body import decompress, read_body
from collector.cors import origin_headers, preflight
from collector.counts import Counts
from collector.encode import DeadLetterEncoder, RawEventEncoder
from collector.event_ids import EventIds
from collector.parse import Batch, MalformedError, parse_batch, parse_single
from collector.pixel import GIF, event_of_query
from collector.projects import Project, ProjectDirectory
from collector.publisher import OverloadedError, Publisher, Record, records_size
from collector.refusals import Refusal, Refusals, RefusedRequest
from collector.routes import PIXELS, Route, Takes, find_post, find_settings_key
from collector.session_key import session_key
from collector.source_settings import settings_answer
from collector.times import Bounds
from schemas.settings import Settings

_log: Final = structlog.get_logger()
_X_WRITE_KEY: Final = istr("X-Write-Key")
_X_FORWARDED_FOR: Final = istr("X-Forwarded-For")
_OTHER: Final = "other"
_SUCCESS: Final = Answer(200, b'{"success":true}')


class Encoders(NamedTuple):
    """Records to bytes."""

    raw_events: RawEventEncoder
    dead_letters: DeadLetterEncoder


class Collector:
    """Answers requests. `is_loaded` turns true once all projects are known, `is_stopping` when connections must end."""

    def __init__(
        self,
        settings: Settings,
        *,
        directory: ProjectDirectory,
        publisher: Publisher,
        encoders: Encoders,
        counts: Counts,
        ids: EventIds,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._publisher = publisher
        self._encoders = encoders
        self._counts = counts
        self._ids = ids
        self._clock = clock
        self._refusals = Refusals(settings.collector_retry_after_s)
        self._proxies = TrustedProxies(settings.collector_trusted_proxies)
        self._limits = Limits(
            settings.collector_event_bytes_max,
            settings.collector_batch_events_max,
            Bounds(settings.collector_timestamp_past_s_max, settings.collector_timestamp_future_s_max),
        )
        self._raw_events = settings.topic("raw_events")
        self._dead_letters = settings.topic("dead_letters")
        self.is_loaded = False
        self.is_stopping = False

    async def __call__(self, request: BaseRequest) -> Answer:
        """Answer one request; whatever happens is an answer."""
        started = time.perf_counter()
        name = _OTHER
        path, _, query = request.raw_path.partition("?")
        origin = request.headers.get(hdrs.ORIGIN)
        try:
            route = find_post(path) if request.method == hdrs.METH_POST else None
            if route is not None:
                name = route.name
                answer = await self._collect(request, route, query)
            else:
                name, answer = await self._answer_others(request, path, query)
        except RefusedRequest as refused:
            answer = self._refusals.answer(refused.refusal, refused.message)
            if refused.refusal is Refusal.ORIGIN_NOT_ALLOWED:
                origin = None
        except RequestPayloadError as error:
            answer = self._refusals.answer(Refusal.MALFORMED, f"malformed body: {error}").closing()
        except ConnectionError:
            raise
        except Exception:
            _log.exception("a request failed", route=name)
            answer = self._refusals.answer(Refusal.INTERNAL)
        self._counts.request(name, answer.status, time.perf_counter() - started)
        if origin is not None:
            answer = answer.with_headers(origin_headers(origin))
        if self.is_stopping or not request.keep_alive or request.version.minor == 0:
            answer = answer.closing()
        return answer

    async def _collect(self, request: BaseRequest, route: Route, query: str) -> Answer:
        settings = self._settings
        self._require_capacity()
        body = await read_body(request, settings.collector_body_bytes_max, settings.collector_body_read_ms_max / 1000)
        headers = request.headers
        body = decompress(body, headers.get(hdrs.CONTENT_ENCODING), settings.collector_body_bytes_max)
        self._counts.received(len(body))
        if route.takes is Takes.NOTHING:
            return _SUCCESS
        credentials = Credentials(
            headers.get(hdrs.AUTHORIZATION), headers.get(_X_WRITE_KEY), _query_value(query, "writeKey")
        )
        found = find_project(self._directory, credentials)
        try:
            batch = parse_batch(body) if route.takes is Takes.BATCH else parse_single(body, key_wanted=found is None)
            project = require_project(self._directory, found, credentials, batch.write_key)
            await self._store(request, batch, project, route.event_type)
        except MalformedError as error:
            raise RefusedRequest(Refusal.MALFORMED, str(error)) from None
        return _SUCCESS

    def _require_capacity(self) -> None:
        if not self.is_loaded:
            raise RefusedRequest(Refusal.STARTING)
        if self._publisher.inflight_bytes >= self._settings.collector_inflight_bytes_max:
            raise RefusedRequest(Refusal.OVERLOADED)

    async def _store(self, request: BaseRequest, batch: Batch, project: Project, event_type: str | None) -> None:
        """Admit the events and return once all are durable. Raises RefusedRequest, MalformedError."""
        headers = request.headers
        origin = headers.get(hdrs.ORIGIN)
        if origin is not None and not project.allows(origin):
            raise RefusedRequest(Refusal.ORIGIN_NOT_ALLOWED)
        arrival = Arrival(
            project,
            int(self._clock() * 1000),
            self._proxies.client_address(_peer(request), headers.get(_X_FORWARDED_FOR)),
            headers.get(hdrs.USER_AGENT, ""),
            event_type,
        )
        admission = admit(batch, arrival, self._limits, self._ids)
        records = self._records(admission, project)
        if not records:
            return
        try:
            is_durable = await self._publisher.publish(records, records_size(records))
        except OverloadedError:
            self._counts.admission(admission, False)
            raise RefusedRequest(Refusal.OVERLOADED) from None
        self._counts.admission(admission, is_durable)
        if not is_durable:
            raise RefusedRequest(Refusal.NOT_DURABLE)

    def _records(self, admission: Admission, project: Project) -> list[tuple[str, list[Record]]]:
        batches: list[tuple[str, list[Record]]] = []
        scope = project.scope
        if admission.admitted:
            encode = self._encoders.raw_events.encode
            records: list[Record] = [
                {
                    "key": session_key(scope, event.anonymous_id or event.user_id or "", event.client_session_id),
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

    async def _answer_others(self, request: BaseRequest, path: str, query: str) -> tuple[str, Answer]:
        """Everything but a POST to a known route: (name in metrics, answer)."""
        method = request.method
        if method == hdrs.METH_OPTIONS:
            return "preflight", self._preflight(request, query)
        if method == hdrs.METH_GET:
            if path in PIXELS:
                return "pixel", await self._collect_pixel(request, PIXELS[path], query)
            if (write_key := find_settings_key(path)) is not None:
                return "settings", self._source_settings(request, write_key)
        is_known = path in PIXELS or find_post(path) is not None or find_settings_key(path) is not None
        raise RefusedRequest(Refusal.METHOD_NOT_ALLOWED if is_known else Refusal.NOT_FOUND)

    def _preflight(self, request: BaseRequest, query: str) -> Answer:
        origin = request.headers.get(hdrs.ORIGIN, "")
        write_key = _query_value(query, "writeKey")
        project = self._directory.by_key(write_key) if write_key else None
        is_allowed = project.allows(origin) if project else self._directory.allows_somewhere(origin)
        return preflight(origin, is_allowed)

    async def _collect_pixel(self, request: BaseRequest, event_type: str, query: str) -> Answer:
        self._require_capacity()
        event, write_key = event_of_query(query)
        credentials = Credentials(request.headers.get(hdrs.AUTHORIZATION), None, write_key)
        project = require_project(self._directory, find_project(self._directory, credentials), credentials, None)
        await self._store(request, parse_single(event, key_wanted=False), project, event_type)
        return GIF

    def _source_settings(self, request: BaseRequest, write_key: str) -> Answer:
        if not self.is_loaded:
            raise RefusedRequest(Refusal.STARTING)
        credentials = Credentials(None, write_key, None)
        require_project(self._directory, find_project(self._directory, credentials), credentials, None)
        return settings_answer(write_key, request.headers.get(hdrs.HOST, ""))


def _query_value(query: str, name: str) -> str | None:
    if not query:
        return None
    values = parse_qs(query).get(name)
    return values[0] if values else None


def _peer(request: BaseRequest) -> str:
    peername = request.protocol.peername
    return peername[0] if isinstance(peername, tuple) else ""
