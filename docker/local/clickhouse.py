"""One ClickHouse server, out of the chDB library, data in `home/data`."""

import os
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from docker.local import PROJECT_ROOT
from docker.local.c_library import c_library
from docker.local.packages import fetch
from docker.local.process import HOST, ServerProcess, accepts_connections, free_port

_LAUNCHER = Path(__file__).with_name("clickhouse_launcher.py")
_RESETS_END = Path(__file__).with_name("resets_end.c")
# The library's program is ClickHouse's local mode, which ends with its query: this one opens the ports and then sleeps
# for 30 years.
_SERVE_QUERY = (
    "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; "
    "SELECT sleepEachRow(1) FROM numbers(1000000000) FORMAT Null "
    "SETTINGS function_sleep_max_microseconds_per_block=0, max_block_size=1"
)
_CONFIG = """<clickhouse>
  <listen_host>{host}</listen_host>
  <tcp_port>{tcp_port}</tcp_port>
  <http_port>{http_port}</http_port>
  <path>{data}/</path>
  <timezone>UTC</timezone>
  <logger><level>fatal</level><errorlog>{log}</errorlog></logger>
  <max_server_memory_usage>{memory_bytes}</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <uncompressed_cache_size>16777216</uncompressed_cache_size>
  <users_config>{users}</users_config>
</clickhouse>
"""
# What the image's own users.xml has, and what is mounted beside it for every user.
_USERS = """<clickhouse>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
    <users><default><password/><networks><ip>::/0</ip></networks><profile>default</profile></default></users>
</clickhouse>
"""
_PROFILE = PROJECT_ROOT / "docker" / "clickhouse" / "users.d" / "tally.xml"


class ClickHouseServer(ServerProcess):
    """`tcp_port` (native protocol) and `http_port` 0 mean: choose free ones, and keep them over restarts."""

    def __init__(
        self, home: Path, *, tcp_port: int = 0, http_port: int = 0, memory_mb: int = 3072, ends_with_parent: bool = True
    ) -> None:
        super().__init__("clickhouse", home, ends_with_parent=ends_with_parent)
        self.host = HOST
        self.tcp_port = tcp_port or free_port()
        self.http_port = http_port or free_port()
        self._memory_bytes = memory_mb * 1024 * 1024

    @property
    def http_url(self) -> str:
        """The address for queries over HTTP."""
        return f"http://{self.host}:{self.http_port}/"

    def query(self, sql: str, data: bytes = b"", *, timeout_s: float = 30.0) -> str:
        """One statement over HTTP, `data` being what an INSERT … FORMAT reads; the answer as text.

        Raises `OSError`, with the reason when the server gave one.
        """
        url = f"{self.http_url}?{urllib.parse.urlencode({'query': sql})}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=timeout_s) as answer:
                text: str = answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                raise OSError(error.read().decode(errors="replace").strip()) from None
        return text

    def prepare(self) -> None:
        config = _CONFIG.format(
            host=self.host,
            tcp_port=self.tcp_port,
            http_port=self.http_port,
            data=self.home / "data",
            log=self.log_path,  # a crash says where it was
            memory_bytes=self._memory_bytes,
            users=self.home / "users.xml",
        )
        self._config_path.write_text(config)
        (self.home / "users.xml").write_text(_USERS)
        (self.home / "users.d").mkdir(exist_ok=True)
        shutil.copy(_PROFILE, self.home / "users.d")

    def command(self) -> list[str]:
        library = fetch("clickhouse") / "node_modules" / "@chdb" / "lib-linux-x64-gnu" / "libchdb.so"
        preloaded = filter(None, (str(c_library("resets-end", [_RESETS_END])), os.environ.get("LD_PRELOAD")))
        launch = [
            "/usr/bin/env",
            f"LD_PRELOAD={':'.join(preloaded)}",
            sys.executable,
            "-I",
            str(_LAUNCHER),
            str(library),
        ]
        own = [f"--config-file={self._config_path}", f"--path={self.home / 'data'}"]
        return [*launch, *own, "--multiquery", f"--query={_SERVE_QUERY}"]

    def is_ready(self) -> bool:
        if not accepts_connections(self.tcp_port):
            return False
        try:
            return self.query("SELECT 1", timeout_s=2.0) == "1\n"
        except OSError:
            return False

    @property
    def _config_path(self) -> Path:
        return self.home / "config.xml"
