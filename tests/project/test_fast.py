"""What is promised of fast tests, with a planted test that breaks each promise."""

import subprocess
import sys
from pathlib import Path

import pytest

from docker.local import PROJECT_ROOT

pytestmark = pytest.mark.command


def run_planted(folder: Path, text: str) -> str:
    """What pytest says of a planted test module, under this project's settings and guards."""
    planted = folder / "test_planted.py"
    planted.write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.fast", "-p", "no:cacheprovider"]
    settings = ["-c", str(PROJECT_ROOT / "pyproject.toml"), f"--rootdir={folder}", "-o", "timeout=5"]
    done = subprocess.run(
        [*command, *settings, str(planted)], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


STARTS = "import subprocess\nsubprocess.run(['true'], check=True)\n"
SWALLOWS = """
import subprocess
def test_planted():
    try:
        subprocess.run(['true'], check=True)
    except Exception:
        pass
"""
CONNECTS = "import socket\ndef test_planted():\n    socket.socket().connect_ex(('192.0.2.1', 80))\n"
LOOKS_UP = "import socket\ndef test_planted():\n    socket.getaddrinfo('registry.example', 443)\n"
IN_A_FIXTURE = """
import subprocess
import pytest
@pytest.fixture
def server():
    with subprocess.Popen(['true']):
        yield
def test_planted(server):
    pass
"""


@pytest.mark.parametrize(
    ("text", "deed"),
    [
        (STARTS, "starts a process: ['true']"),
        (f"def test_planted():\n    {STARTS.replace(chr(10), chr(10) + '    ')}", "starts a process: ['true']"),
        (SWALLOWS, "starts a process: ['true']"),
        (CONNECTS, "connects to 192.0.2.1"),
        (LOOKS_UP, "looks up 'registry.example'"),
        (IN_A_FIXTURE, "starts a process: ['true']"),
    ],
    ids=["while collected", "process", "swallowed", "connection", "name", "fixture"],
)
def test_a_fast_test_that_is_none_fails_and_is_told_so(tmp_path: Path, text: str, deed: str) -> None:
    said = run_planted(tmp_path, text)
    assert deed in said
    assert "1 failed" in said or "error" in said
    assert "1 passed" not in said


def test_marked_tests_may_and_a_loopback_connection_is_no_network(tmp_path: Path) -> None:
    text = f"""
import socket, subprocess
import pytest
@pytest.mark.integration
def test_server():
    {STARTS.replace(chr(10), chr(10) + "    ")}
@pytest.mark.command
def test_command():
    {STARTS.replace(chr(10), chr(10) + "    ")}
def test_loopback():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
"""
    assert "3 passed" in run_planted(tmp_path, text)


def test_an_assertion_in_a_thread_fails_its_test(tmp_path: Path) -> None:
    said = run_planted(
        tmp_path,
        "import threading\n"
        "def refuse():\n    assert 503 == 200\n"
        "def test_planted():\n    thread = threading.Thread(target=refuse)\n    thread.start()\n    thread.join()\n",
    )
    assert "503 == 200" in said
    assert "1 passed" not in said


def test_a_test_that_hangs_is_ended_and_every_thread_says_where_it_stood(tmp_path: Path) -> None:
    said = run_planted(
        tmp_path,
        "import threading\n"
        "def wait_beside(event):\n    event.wait(20)\n"
        "def test_planted():\n"
        "    event = threading.Event()\n"
        "    threading.Thread(target=wait_beside, args=(event,), daemon=True).start()\n"
        "    event.wait(20)\n"
        "def test_after():\n    pass\n",
    )
    assert "Timeout" in said
    assert "wait_beside" in said
    assert "1 failed, 1 passed" in said
