"""What a GET shows that is no event: who is here, settings of sources, scripts of browser SDKs."""

from typing import Final

import msgspec
from aiohttp import hdrs

from collector.http.browser_sdks import BrowserSdks
from collector.http.public_url import PublicUrls
from collector.http.request import Request
from collector.http.response import Response
from collector.http.routes import Found, Resource
from collector.http.settings_route import settings_response, source_config_response
from collector.projects.authenticate import Credentials, find_project, require_project
from collector.projects.directory import Project, ProjectDirectory

_WELCOME: Final = {
    "name": "Tally collector",
    "message": "Takes events over the Segment HTTP API: POST /v1/batch, /v1/track, /v1/identify, /v1/page, /v1/screen, "
    "/v1/group, /v1/alias, with a write key.",
    "health": "/health",
}
_NOT_KEPT: Final = "Cache-Control: no-store\r\n"


class Resources:
    """Makes the answers. Whether the collector may answer at all is its own business."""

    def __init__(self, directory: ProjectDirectory, public_urls: PublicUrls, sdks: BrowserSdks) -> None:
        self._directory = directory
        self._public_urls = public_urls
        self._sdks = sdks
        self.welcome = Response(200, msgspec.json.encode(_WELCOME), headers=_NOT_KEPT)
        self.health = Response(200, b'{"status":"pass"}', headers=_NOT_KEPT)

    def script(self, request: Request, found: Found) -> Response:
        """A script that is the same for all projects. Raises RefusedRequest."""
        is_packed = _takes_gzip(request)
        if found.resource is Resource.JITSU_JS:
            return self._sdks.jitsu_js(is_packed)
        return self._sdks.bundle(found.argument, is_packed)

    def of_project(self, request: Request, found: Found, query_key: str | None) -> Response:
        """What differs by project; its key stands in the path, or where SDKs put it. Raises RefusedRequest."""
        if found.resource is Resource.SOURCE_CONFIG:
            return source_config_response(self._project(Credentials(_authorization(request), None, query_key)))
        write_key = found.argument
        self._project(Credentials(None, write_key, None))
        public_url = self._public_urls.find(request.peer, request.headers)
        if found.resource is Resource.ANALYTICS_JS:
            return self._sdks.analytics_js(write_key, public_url, _takes_gzip(request))
        return settings_response(write_key, public_url)

    def _project(self, credentials: Credentials) -> Project:
        return require_project(self._directory, find_project(self._directory, credentials), credentials, None)


def _takes_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")


def _authorization(request: Request) -> str | None:
    return request.headers.get(hdrs.AUTHORIZATION)
