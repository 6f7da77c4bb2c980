"""One Prometheus server with a given configuration, data in `home/data`; and where promtool is."""

import urllib.request
from pathlib import Path

from docker.local.packages import fetch
from docker.local.process import HOST, ServerProcess, free_port

_EMPTY_CONFIG = "global:\n  scrape_interval: 1s\nscrape_configs: []\n"


class PrometheusServer(ServerProcess):
    """`config_text` is prometheus.yml; None scrapes nothing. `port` 0 means: choose a free one, and keep it."""

    def __init__(
        self, home: Path, *, port: int = 0, config_text: str | None = None, ends_with_parent: bool = True
    ) -> None:
        super().__init__("prometheus", home, ends_with_parent=ends_with_parent)
        self.port = port or free_port()
        self._config_text = _EMPTY_CONFIG if config_text is None else config_text

    @property
    def url(self) -> str:
        """The address of its web page and API, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    @property
    def config_path(self) -> Path:
        """prometheus.yml as the server reads it."""
        return self.home / "prometheus.yml"

    def configure(self, config_text: str) -> None:
        """Replace the configuration, and have a running server read it. Raises `OSError` when it refuses it."""
        self._config_text = config_text
        if self.running:
            self.config_path.write_text(config_text)
            urllib.request.urlopen(urllib.request.Request(f"{self.url}/-/reload", method="POST"), timeout=10).close()

    def get(self, path: str) -> str:
        """The answer of its API to a GET of `path` (with query). Raises `OSError`."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def prepare(self) -> None:
        self.config_path.write_text(self._config_text)

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
