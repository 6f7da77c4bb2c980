"""The routes of WhatsApp: its webhook, handshake tokens, links that lead to a chat, and the script for pages."""

import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

import msgspec
import structlog
from aiohttp import hdrs

from collector.errors import Refusal, RefusedRequest
from collector.events.parse import MalformedError
from collector.http.body import BodyReader, decompress
from collector.http.counts import Counts
from collector.http.request import Request
from collector.http.response import Response
from collector.http.whatsapp_script import SCRIPT
from collector.ingest import Sender
from collector.projects.directory import Project
from collector.whatsapp.apps import App, Apps
from collector.whatsapp.ingest import WhatsAppIngest
from collector.whatsapp.mint import Minted, Wish, key_of_body, wish_of_body, wish_of_query
from collector.whatsapp.pace import Pace
from collector.whatsapp.signature import is_signed
from schemas.settings import Settings

_log: Final = structlog.get_logger()
_REFERRER_CHARS_MAX: Final = 2_000
_NOT_KEPT: Final = "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
_SCRIPT_HEADERS: Final = "Cache-Control: public, max-age=3600\r\nCross-Origin-Resource-Policy: cross-origin\r\n"
_SUCCESS: Final = Response(200, b'{"success":true}')
_TEXT: Final = "text/plain; charset=utf-8"

_NONE: Final[Counter[str]] = Counter()

FindProject = Callable[[str | None], Project]


class WhatsAppRoutes:
    """Answers. Whether the collector may answer at all, and whose key it is, are the caller's business."""

    def __init__(self, settings: Settings, apps: Apps, ingest: WhatsAppIngest, counts: Counts) -> None:
        self._apps = apps
        self._ingest = ingest
        self._counts = counts
        self._body_bytes_max = settings.collector_whatsapp_body_bytes_max
        self.bodies: Final = BodyReader(
            self._body_bytes_max, settings.collector_body_read_ms_max / 1000, settings.collector_inflight_bytes_max
        )
        self._pace = Pace(settings.collector_handshakes_per_minute)
        self.script: Final = Response(200, SCRIPT, "text/javascript; charset=utf-8", _SCRIPT_HEADERS)

    def verify(self, app_name: str, query: str) -> Response:
        """Meta's check of the URL: the challenge, as it was sent. Raises RefusedRequest."""
        app = self._require_app(app_name)
        given = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        if given.get("hub.mode") != "subscribe" or not app.is_verify_token(given.get("hub.verify_token", "")):
            raise RefusedRequest(Refusal.VERIFY_TOKEN_WRONG)
        return Response(200, given.get("hub.challenge", "").encode("utf-8", "replace"), _TEXT, _NOT_KEPT)

    async def receive(self, request: Request, app_name: str) -> Response:
        """A webhook's POST: 200 once everything in it is durable. Raises RefusedRequest."""
        try:
            response = await self._receive(request, app_name)
        except RefusedRequest as refused:
            self._counts.webhook(refused.refusal.name.lower())
            if refused.refusal is Refusal.TOO_LARGE:
                _log.warning("a webhook is too large", app=app_name, error=refused.message)
            raise
        self._counts.webhook("accepted")
        return response

    async def _receive(self, request: Request, app_name: str) -> Response:
        app = self._require_app(app_name)
        header = request.headers.get(app.header)
        if header is None:
            raise RefusedRequest(Refusal.SIGNATURE_WRONG, f"the header {app.header} is missing")
        body = self.bodies.read_arrived(request)
        if body is None:
            body = await self.bodies.read_arriving(request)
        if not is_signed(body, header, app.secrets()):
            raise RefusedRequest(Refusal.SIGNATURE_WRONG)
        if (encoding := request.headers.get(hdrs.CONTENT_ENCODING)) is not None:
            body = decompress(body, encoding, self._body_bytes_max)
        pending = self._ingest.accept(app_name, body)
        del body
        is_durable = pending.durable is None or await pending.durable
        self._counts.events(pending.admitted, pending.refused, pending.body_bytes, is_durable)
        if not is_durable:
            raise RefusedRequest(Refusal.NOT_DURABLE)
        self._counts.items(pending.outcomes, pending.tokens, pending.received_at / 1000, pending.delay_s)
        return _SUCCESS

    async def mint(self, sender: Sender, body: bytes, find_project: FindProject) -> Response:
        """A POST that asks for a token: 200 with it, once it is durable. Raises RefusedRequest."""
        try:
            project = find_project(key_of_body(body))
            wish = wish_of_body(body)
        except MalformedError as error:
            raise RefusedRequest(Refusal.MALFORMED, str(error)) from None
        minted = await self._mint(project, wish, sender, len(body))
        return Response(200, msgspec.json.encode(minted.answer()), headers=_NOT_KEPT)

    async def go(self, sender: Sender, query: str, referrer: str, project: Project) -> Response:
        """A link that leads to the chat: 302 to it, with a token. Raises RefusedRequest."""
        wish = wish_of_query(query, referrer[:_REFERRER_CHARS_MAX], str(uuid.uuid4()))
        minted = await self._mint(project, wish, sender, len(query))
        return Response(302, headers=f"Location: {minted.url}\r\n{_NOT_KEPT}")

    async def _mint(self, project: Project, wish: Wish, sender: Sender, size: int) -> Minted:
        if not self._pace.allows(sender.ip_address, time.time()):
            raise RefusedRequest(Refusal.TOO_MANY_HANDSHAKES)
        pending = self._ingest.mint(project, wish, sender.ip_address, sender.user_agent)
        is_durable = await pending.durable
        self._counts.events(1, _NONE, size, is_durable)
        if not is_durable:
            raise RefusedRequest(Refusal.NOT_DURABLE)
        return pending.minted

    def _require_app(self, name: str) -> App:
        app = self._apps.find(name)
        if app is None:
            raise RefusedRequest(Refusal.APP_UNKNOWN)
        return app
