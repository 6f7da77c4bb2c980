"""The HTTP application: one callable that answers every request of the public port.

request → route → key → body → `collector.ingest` → Kafka's acknowledgement → response
"""

import time
from typing import Final
from urllib.parse import parse_qs

import structlog
from aiohttp import HttpVersion11, hdrs
from aiohttp.web_protocol import RequestPayloadError
from multidict import istr

from collector.errors import Refusal, RefusedRequest
from collector.events.parse import Call
from collector.http.body import GZIP_MAGIC, BodyReader, decompress
from collector.http.cors import ANY_ORIGIN_HEADERS, origin_headers, preflight
from collector.http.counts import Counts
from collector.http.pixel import GIF, event_of_query, origin_of
from collector.http.request import Headers, Request, header_text
from collector.http.resources import Resources
from collector.http.response import ErrorResponses, Response
from collector.http.routes import HANDSHAKE, Found, Resource, Route, find_post, find_resource
from collector.http.trusted_proxies import TrustedProxies
from collector.http.whatsapp_routes import WhatsAppRoutes
from collector.ingest import Ingest, Pending, Sender
from collector.projects.authenticate import Credentials
from collector.projects.directory import ProjectDirectory
from collector.whatsapp.apps import Apps
from schemas.settings import Settings

_log: Final = structlog.get_logger()
_AUTHORIZATION: Final = hdrs.AUTHORIZATION
_CONTENT_ENCODING: Final = hdrs.CONTENT_ENCODING
_ORIGIN: Final = hdrs.ORIGIN
_USER_AGENT: Final = hdrs.USER_AGENT
_X_WRITE_KEY: Final = istr("X-Write-Key")
_X_IP_POLICY: Final = istr("X-IP-Policy")
_OTHER: Final = "other"
_STORING: Final = (Resource.PIXEL, Resource.GO)  # a GET of these is an event
_SUCCESS: Final = Response(200, b'{"success":true}')


class Collector:
    """Answers requests.

    is_loaded: all projects are known. is_draining: load balancers should look for another one. is_stopping: connections
    must end.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        directory: ProjectDirectory,
        ingest: Ingest,
        counts: Counts,
        resources: Resources,
        proxies: TrustedProxies,
        apps: Apps,
    ) -> None:
        self._directory = directory
        self._ingest = ingest
        self._counts = counts
        self._resources = resources
        self.proxies = proxies
        self._errors = ErrorResponses(settings.collector_retry_after_s)
        self._body_bytes_max = settings.collector_body_bytes_max
        self._bodies = BodyReader(
            self._body_bytes_max, settings.collector_body_read_ms_max / 1000, settings.collector_inflight_bytes_max
        )
        self._whatsapp = WhatsAppRoutes(settings, apps, ingest.whatsapp, counts)
        self.is_loaded = False
        self.is_draining = False
        self.is_stopping = False

    @property
    def receiving_bytes(self) -> int:
        """Of bodies that are still arriving."""
        return self._bodies.receiving_bytes + self._whatsapp.bodies.receiving_bytes

    async def __call__(self, request: Request) -> Response:
        """Answer one request; whatever happens is an answer."""
        started = time.perf_counter()
        name = _OTHER
        headers = request.headers
        origin = headers.get(_ORIGIN)
        path, _, query = request.raw_path.partition("?")
        try:
            route = find_post(path) if request.method == "POST" else None
            if route is not None:
                name = route.name
                response = await self._collect(request, headers, route, query)
            else:
                name, response = await self._answer_others(request, path, query)
        except RefusedRequest as refused:
            response = self._refuse(refused.refusal, refused.message)
        except RequestPayloadError as error:
            response = self._refuse(Refusal.MALFORMED, f"malformed body: {error}").closing()
        except ConnectionError:
            raise
        except Exception:
            _log.exception("a request failed", route=name)
            response = self._refuse(Refusal.INTERNAL)
        self._counts.request(name, response.status, time.perf_counter() - started)
        if origin is not None:
            response = response.with_headers(origin_headers(origin))
        if self.is_stopping or not request.keep_alive or request.version != HttpVersion11:
            response = response.closing()
        return response

    def refuse_unread(self, refusal: Refusal) -> Response:
        """The answer, the last on its connection, to what could not be read as a request."""
        response = self._refuse(refusal)
        self._counts.request("unread", response.status, 0.0)
        return response.with_headers(ANY_ORIGIN_HEADERS).closing()

    def _refuse(self, refusal: Refusal, message: str | None = None) -> Response:
        self._counts.refusal(refusal)
        return self._errors.of(refusal, message)

    async def _collect(self, request: Request, headers: Headers, route: Route, query: str) -> Response:
        """A POST: 200 once every event is durable. Raises RefusedRequest."""
        self._require_capacity()
        if route.app:
            return await self._whatsapp.receive(request, route.app)
        call = route.call
        if call is None and route is not HANDSHAKE:
            await self._read(request)
            return _SUCCESS
        sender = self._sender(request, headers, _query_value(query, "writeKey") if query else None)
        project = self._ingest.authenticate(sender)
        body = await self._read(request)
        encoding = headers.get(_CONTENT_ENCODING)
        if encoding is not None or body.startswith(GZIP_MAGIC):
            body = decompress(body, encoding, self._body_bytes_max)
        if call is None:
            return await self._whatsapp.mint(sender, body, lambda key: self._ingest.require(sender, project, key))
        pending = self._ingest.accept(call, body, sender, project)
        del body  # nothing is kept of a request that only waits
        await self._settle(pending)
        return _SUCCESS

    async def _read(self, request: Request) -> bytes:
        body = self._bodies.read_arrived(request)
        return await self._bodies.read_arriving(request) if body is None else body

    def _require_projects(self) -> None:
        if not self.is_loaded:
            raise RefusedRequest(Refusal.STARTING)
        if not self._directory:
            # A wrong topic is the likelier reason than no project at all: SDKs must not drop their events for it.
            raise RefusedRequest(Refusal.NO_PROJECTS)

    def _require_capacity(self) -> None:
        self._require_projects()
        self._ingest.require_room()

    def _sender(self, request: Request, headers: Headers, query_key: str | None) -> Sender:
        credentials = Credentials(headers.get(_AUTHORIZATION), headers.get(_X_WRITE_KEY), query_key)
        address = self.proxies.client_address(request.peer, headers)
        user_agent = header_text(headers.get(_USER_AGENT, ""))
        return Sender(credentials, address, user_agent, headers.get(_ORIGIN), headers.get(_X_IP_POLICY))

    async def _settle(self, pending: Pending) -> None:
        """Wait for Kafka. Raises RefusedRequest when an event may not be durable."""
        is_durable = pending.durable is None or await pending.durable
        self._counts.events(pending.admitted, pending.refused, pending.body_bytes, is_durable)
        if not is_durable:
            raise RefusedRequest(Refusal.NOT_DURABLE)

    async def _answer_others(self, request: Request, path: str, query: str) -> tuple[str, Response]:
        """Everything but a POST to a known route: (name in metrics, answer)."""
        method = request.method
        if method == hdrs.METH_OPTIONS:
            return "preflight", preflight(request.headers)
        found = find_resource(path)
        if method == hdrs.METH_GET and found is not None:
            return found.resource.value, await self._show(request, found, query)
        if method == hdrs.METH_HEAD:
            return _OTHER, (await self._look(request, found, path, query)).without_body()
        is_known = found is not None or find_post(path) is not None
        raise RefusedRequest(Refusal.METHOD_NOT_ALLOWED if is_known else Refusal.NOT_FOUND)

    async def _look(self, request: Request, found: Found | None, path: str, query: str) -> Response:
        """What a GET would be told, for a HEAD: it stores nothing."""
        try:
            if found is not None and found.resource not in _STORING:
                return await self._show(request, found, query)
        except RefusedRequest as refused:
            return self._refuse(refused.refusal, refused.message)
        is_known = found is not None or find_post(path) is not None
        return self._refuse(Refusal.METHOD_NOT_ALLOWED if is_known else Refusal.NOT_FOUND)

    async def _show(self, request: Request, found: Found, query: str) -> Response:
        """A GET. Raises RefusedRequest."""
        if found.resource is Resource.WELCOME:
            return self._resources.welcome
        if found.resource is Resource.HEALTH:
            if self.is_draining:
                raise RefusedRequest(Refusal.STOPPING)
            if not self.is_loaded:
                raise RefusedRequest(Refusal.STARTING)
            return self._resources.health
        if found.pixel is not None:
            return await self._collect_pixel(request, found.pixel, query)
        if found.resource is Resource.WHATSAPP_JS:
            return self._whatsapp.script
        if found.resource is Resource.WEBHOOK:
            return self._whatsapp.verify(found.argument, query)
        if found.resource is Resource.GO:
            return await self._go(request, found.argument, query)
        if found.resource in (Resource.BUNDLE, Resource.JITSU_JS):
            return self._resources.script(request, found)
        self._require_projects()
        return self._resources.of_project(request, found, _query_value(query, "writeKey"))

    async def _go(self, request: Request, write_key: str, query: str) -> Response:
        """A link from anywhere: its page's origin says nothing of whose it is."""
        self._require_capacity()
        sender = self._sender(request, request.headers, write_key)
        sender.credentials = Credentials(None, None, write_key)
        sender.origin = None
        project = self._ingest.require(sender, self._ingest.authenticate(sender), None)
        return await self._whatsapp.go(sender, query, header_text(request.headers.get(hdrs.REFERER, "")), project)

    async def _collect_pixel(self, request: Request, call: Call, query: str) -> Response:
        self._require_capacity()
        event, write_key = event_of_query(query)
        headers = request.headers
        sender = self._sender(request, headers, write_key)
        sender.origin = sender.origin or origin_of(headers.get(hdrs.REFERER, ""))
        await self._settle(self._ingest.accept(call, event, sender, self._ingest.authenticate(sender)))
        return GIF


def _query_value(query: str, name: str) -> str | None:
    values = parse_qs(query).get(name)
    return values[0] if values else None
