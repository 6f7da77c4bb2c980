"""The HTTP application: one callable that answers every request of the public port.

request → route → body → intake (parse → authenticate → admit → encode → publish) → Kafka's ack → answer
"""

import time
from typing import Final
from urllib.parse import parse_qs

import structlog
from aiohttp import HttpVersion11, hdrs
from aiohttp.web_protocol import RequestPayloadError
from multidict import istr

from collector.answers import Answer
from collector.authenticate import Credentials, find_project, require_project
from collector.body import GZIP_MAGIC, BodyReader, decompress
from collector.cors import origin_headers, preflight
from collector.counts import Counts
from collector.forwarded import TrustedProxies
from collector.intake import Intake, Origin, Pending
from collector.pixel import GIF, event_of_query
from collector.projects import ProjectDirectory
from collector.publisher import Publisher
from collector.refusals import Refusal, Refusals, RefusedRequest
from collector.request import Headers, Request, header_text
from collector.routes import PIXELS, Route, Takes, find_post, find_settings_key
from collector.source_settings import settings_answer
from collector.whereabouts import Finder
from schemas.settings import Settings

_log: Final = structlog.get_logger()
_AUTHORIZATION: Final = hdrs.AUTHORIZATION
_CONTENT_ENCODING: Final = hdrs.CONTENT_ENCODING
_ORIGIN: Final = hdrs.ORIGIN
_USER_AGENT: Final = hdrs.USER_AGENT
_X_WRITE_KEY: Final = istr("X-Write-Key")
_X_IP_POLICY: Final = istr("X-IP-Policy")
_OTHER: Final = "other"
_SUCCESS: Final = Answer(200, b'{"success":true}')


class Collector:
    """Answers requests. `is_loaded` turns true once all projects are known, `is_stopping` when connections must end."""

    def __init__(
        self, settings: Settings, *, directory: ProjectDirectory, publisher: Publisher, intake: Intake, counts: Counts
    ) -> None:
        self._directory = directory
        self._publisher = publisher
        self._intake = intake
        self._counts = counts
        self._refusals = Refusals(settings.collector_retry_after_s)
        self._proxies = TrustedProxies(settings.collector_trusted_proxies, settings.collector_address_headers)
        self._finder = Finder(settings.collector_public_url, self._proxies)
        self._body_bytes_max = settings.collector_body_bytes_max
        self._inflight_bytes_max = settings.collector_inflight_bytes_max
        self._bodies = BodyReader(
            self._body_bytes_max, settings.collector_body_read_ms_max / 1000, self._inflight_bytes_max
        )
        self.is_loaded = False
        self.is_stopping = False

    async def __call__(self, request: Request) -> Answer:
        """Answer one request; whatever happens is an answer."""
        started = time.perf_counter()
        name = _OTHER
        headers = request.headers
        page = headers.get(_ORIGIN)
        path, _, query = request.raw_path.partition("?")
        try:
            route = find_post(path) if request.method == "POST" else None
            if route is not None:
                name = route.name
                answer = await self._collect(request, headers, route, query)
            else:
                name, answer = await self._answer_others(request, path, query)
        except RefusedRequest as refused:
            answer = self._refusals.answer(refused.refusal, refused.message)
        except RequestPayloadError as error:
            answer = self._refusals.answer(Refusal.MALFORMED, f"malformed body: {error}").closing()
        except ConnectionError:
            raise
        except Exception:
            _log.exception("a request failed", route=name)
            answer = self._refusals.answer(Refusal.INTERNAL)
        self._counts.request(name, answer.status, time.perf_counter() - started)
        if page is not None:
            answer = answer.with_headers(origin_headers(page))
        if self.is_stopping or not request.keep_alive or request.version != HttpVersion11:
            answer = answer.closing()
        return answer

    async def _collect(self, request: Request, headers: Headers, route: Route, query: str) -> Answer:
        """A POST: 200 once every event is durable. Raises RefusedRequest."""
        self._require_capacity()
        body = self._bodies.read_arrived(request)
        if body is None:
            body = await self._bodies.read_arriving(request)
        if route.takes is Takes.NOTHING:
            return _SUCCESS
        encoding = headers.get(_CONTENT_ENCODING)
        if encoding is not None or body.startswith(GZIP_MAGIC):
            body = decompress(body, encoding, self._body_bytes_max)
        credentials = Credentials(
            headers.get(_AUTHORIZATION), headers.get(_X_WRITE_KEY), _query_value(query, "writeKey") if query else None
        )
        pending = self._intake.take(route, body, self._origin(request, headers, credentials))
        del body  # nothing is kept of a request that only waits
        await self._settle(pending)
        return _SUCCESS

    def _require_projects(self) -> None:
        if not self.is_loaded:
            raise RefusedRequest(Refusal.STARTING)

    def _require_capacity(self) -> None:
        self._require_projects()
        if self._publisher.inflight_bytes >= self._inflight_bytes_max:
            raise RefusedRequest(Refusal.OVERLOADED)

    def _origin(self, request: Request, headers: Headers, credentials: Credentials) -> Origin:
        address = self._proxies.client_address(request.peer, headers)
        user_agent = header_text(headers.get(_USER_AGENT, ""))
        return Origin(credentials, address, user_agent, headers.get(_ORIGIN), headers.get(_X_IP_POLICY))

    async def _settle(self, pending: Pending) -> None:
        """Wait for Kafka. Raises RefusedRequest when an event may not be durable."""
        is_durable = pending.durable is None or await pending.durable
        self._counts.events(pending.admitted, pending.refused, pending.body_bytes, is_durable)
        if not is_durable:
            raise RefusedRequest(Refusal.NOT_DURABLE)

    async def _answer_others(self, request: Request, path: str, query: str) -> tuple[str, Answer]:
        """Everything but a POST to a known route: (name in metrics, answer)."""
        method = request.method
        if method == hdrs.METH_HEAD:
            return _OTHER, self._refusals.answer(Refusal.METHOD_NOT_ALLOWED).without_body()
        if method == hdrs.METH_OPTIONS:
            return "preflight", preflight(request.headers)
        if method == hdrs.METH_GET:
            if path in PIXELS:
                return "pixel", await self._collect_pixel(request, PIXELS[path], query)
            if (write_key := find_settings_key(path)) is not None:
                return "settings", self._source_settings(request, write_key)
        is_known = path in PIXELS or find_post(path) is not None or find_settings_key(path) is not None
        raise RefusedRequest(Refusal.METHOD_NOT_ALLOWED if is_known else Refusal.NOT_FOUND)

    async def _collect_pixel(self, request: Request, route: Route, query: str) -> Answer:
        self._require_capacity()
        event, write_key = event_of_query(query)
        headers = request.headers
        credentials = Credentials(headers.get(_AUTHORIZATION), None, write_key)
        await self._settle(self._intake.take(route, event, self._origin(request, headers, credentials)))
        return GIF

    def _source_settings(self, request: Request, write_key: str) -> Answer:
        self._require_projects()
        credentials = Credentials(None, write_key, None)
        require_project(self._directory, find_project(self._directory, credentials), credentials, None)
        return settings_answer(write_key, self._finder.find(request.peer, request.headers))


def _query_value(query: str, name: str) -> str | None:
    values = parse_qs(query).get(name)
    return values[0] if values else None
