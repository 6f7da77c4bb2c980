"""One Prometheus server, data in `home/data`; and where promtool is."""

import urllib.request
from pathlib import Path

from docker.local.packages import fetch
from docker.local.process import HOST, ServerProcess, free_port

_EMPTY_CONFIG = "global:\n  scrape_interval: 1s\n"


class PrometheusServer(ServerProcess):
    """`port` 0 means: choose a free one, and keep it.

    `config_file` is read where it lies, as it may name rule files beside it. Without it the configuration is a file in
    `home` that scrapes nothing until `configure` replaces it.
    """

    def __init__(
        self, home: Path, *, port: int = 0, config_file: Path | None = None, ends_with_parent: bool = True
    ) -> None:
        super().__init__("prometheus", home, ends_with_parent=ends_with_parent)
        self.port = port or free_port()
        self._has_own_config = config_file is None
        self.config_path = self.home / "prometheus.yml" if config_file is None else config_file.resolve()

    @property
    def url(self) -> str:
        """The address of its web page and API, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    def configure(self, text: str) -> None:
        """Replace the configuration in `home`; a running server reads it now. Raises `OSError` when it refuses it."""
        if not self._has_own_config:
            raise ValueError(f"the configuration is {self.config_path}: edit it, then send POST /-/reload")
        self.home.mkdir(parents=True, exist_ok=True)
        self.config_path.write_text(text)
        if self.running:
            urllib.request.urlopen(urllib.request.Request(f"{self.url}/-/reload", method="POST"), timeout=10).close()

    def get(self, path: str) -> str:
        """The answer of its API to a GET of `path` (with query). Raises `OSError`."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def prepare(self) -> None:
        if self._has_own_config and not self.config_path.exists():
            self.config_path.write_text(_EMPTY_CONFIG)

    def command(self) -> list[str]:
        return [
            str(_program("prometheus")),
            f"--config.file={self.config_path}",
            f"--storage.tsdb.path={self.home / 'data'}",
            f"--web.listen-address={HOST}:{self.port}",
            "--web.enable-lifecycle",
        ]

    def is_ready(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/-/ready", timeout=2).close()
        except OSError:
            return False
        return True


def promtool() -> Path:
    """The path of promtool, which checks rules and configurations."""
    return _program("promtool")


def _program(name: str) -> Path:
    return fetch("prometheus") / "usr" / "bin" / name
