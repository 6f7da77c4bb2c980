"""A web site: pages and the SDKs' files, at an origin that is not the collector's."""

import mimetypes
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from docker.local.process import HOST

_SDKS = "/sdks/"


class Site:
    """Serves `pages` by their paths and, under /sdks/, what the folders of node modules hold."""

    def __init__(self, modules: Sequence[Path], pages: Mapping[str, str]) -> None:
        self.pages = dict(pages)
        self._modules = [folder.resolve() for folder in modules]
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                content = site.content(path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Type", _content_type(path))
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def content(self, path: str) -> bytes | None:
        """What stands at a path."""
        if path in self.pages:
            return self.pages[path].encode()
        if path.startswith(_SDKS):
            for folder in self._modules:
                file = (folder / path.removeprefix(_SDKS)).resolve()
                if file.is_relative_to(folder) and file.is_file():
                    return file.read_bytes()
        return None

    def url(self, path: str, host: str = HOST) -> str:
        """The address of a page; `host` may be another name of this machine, which is another origin."""
        return f"http://{host}:{self.port}{path}"

    def origin(self, host: str = HOST) -> str:
        """What a browser sends as Origin."""
        return f"http://{host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _content_type(path: str) -> str:
    if path.endswith((".js", ".mjs")):
        return "text/javascript; charset=utf-8"
    return mimetypes.guess_type(path)[0] or "text/html; charset=utf-8"
