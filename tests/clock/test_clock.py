"""A run on another date: every process has it, and spans stay what they were."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from docker.local import PROJECT_ROOT

pytestmark = pytest.mark.integration  # it needs a C compiler

DAY = "2031-07-14"


def on_the_day(script: str, *arguments: str, code: int = 0) -> str:
    """What a Python script printed on that day."""
    command = [sys.executable, "-m", "tests.clock", DAY, sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout.partition("days\n")[2]


def test_the_day_is_that_day_and_its_time_is_now() -> None:
    before = datetime.now(UTC)
    said = datetime.fromtimestamp(float(on_the_day("import time; print(time.time())")), UTC)
    assert str(said.date()) == DAY
    moved = (said - before).total_seconds() % 86_400
    assert moved < 120


CHILDREN = """
import os
import subprocess, sys
from docker.local.tools import bare_environ, java
for command in (["date", "+%F"], ["node", "-p", "new Date().toISOString().slice(0, 10)"]):
    print(subprocess.run(command, env=bare_environ(), capture_output=True, text=True, check=True).stdout.strip())
"""


def test_a_child_with_a_bare_environment_has_the_day_too() -> None:
    assert on_the_day(CHILDREN).split() == [DAY, DAY]


# Each waits until a moment of the wall clock or of the monotonic clock; none of them may come at once or never.
SPANS = """
import ctypes, queue, threading, time
from confluent_kafka.admin import AdminClient
libc = ctypes.CDLL(None)
class Moment(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]
def semaphore():
    waited = ctypes.create_string_buffer(64)
    libc.sem_init(waited, 0, 0)
    libc.sem_timedwait(waited, ctypes.byref(Moment(int(time.time()) + 2, 0)))
def until_a_moment():
    libc.clock_nanosleep(0, 1, ctypes.byref(Moment(int(time.time()) + 2, 0)), None)
def librdkafka():
    try:
        AdminClient({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}).list_topics(timeout=1.5)
    except Exception:
        pass
for wait in (lambda: time.sleep(1.5), lambda: threading.Event().wait(1.5), semaphore, until_a_moment, librdkafka):
    start = time.monotonic()
    wait()
    assert time.monotonic() - start > 0.9, "did not wait"
print("waited")
"""


def test_waits_are_as_long_as_they_were() -> None:
    assert on_the_day(SPANS) == "waited\n"


SERVERS = """
import json, sys, urllib.request
from pathlib import Path
from docker.local.clickhouse import ClickHouseServer
from docker.local.prometheus import PrometheusServer
with ClickHouseServer(Path(sys.argv[1], "clickhouse")) as server:
    print(server.query("SELECT toDate(now()), toDate(now64(3)), today()").strip())
with PrometheusServer(Path(sys.argv[1], "prometheus")) as server:
    with urllib.request.urlopen(server.url + "/api/v1/query?query=time()") as answer:
        print(json.load(answer)["data"]["result"][0])
"""


def test_servers_that_bring_a_c_library_of_their_own_have_the_day(tmp_path: Path) -> None:
    clickhouse, prometheus = on_the_day(SERVERS, str(tmp_path)).splitlines()
    assert clickhouse.split() == [DAY, DAY, DAY]
    assert str(datetime.fromtimestamp(float(prometheus.strip("[]").split(",")[0]), UTC).date()) == DAY


def test_a_day_that_is_none_is_refused() -> None:
    command = [sys.executable, "-m", "tests.clock", "2028-02-30", "true"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "2028-02-30" in done.stderr


FILES = """
import os, sys, time
from pathlib import Path
written, older = Path(sys.argv[1], "written"), Path(sys.argv[1], "older")
written.write_text("")
print(abs(written.stat().st_mtime - time.time()) < 60, time.time() - older.stat().st_mtime > 86_400)
os.utime(written, (1_000_000_000, time.time() - 3_600_000))
os.utime(older)
print(time.time() - written.stat().st_mtime > 3_500_000, time.time() - older.stat().st_mtime < 60)
os.utime(older, (time.time(), time.time()))
print(abs(older.stat().st_mtime - time.time()) < 60)
"""


def test_files_written_on_the_day_are_of_that_day_and_older_ones_are_old(tmp_path: Path) -> None:
    (tmp_path / "older").write_text("")
    os.utime(tmp_path / "older", (1_790_000_000, 1_790_000_000))
    assert on_the_day(FILES, str(tmp_path)).split() == ["True"] * 5
