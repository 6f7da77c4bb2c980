"""What is promised of fast tests, with a planted test that breaks each promise."""

from pathlib import Path

import pytest

from tests.project.planted import run_planted

pytestmark = pytest.mark.command


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


LEAVES_OPEN = """
import gc, socket
def test_planted():
    socket.socket()
    gc.collect()
"""
ON_A_SERVER = """
import pytest
@pytest.mark.integration
def test_on_a_server():
    pass
"""


def test_what_is_left_open_fails_where_it_is_a_fast_tests_for_certain(tmp_path: Path) -> None:
    assert "unclosed <socket" in run_planted(tmp_path, LEAVES_OPEN)
    assert "2 passed" in run_planted(tmp_path, LEAVES_OPEN + ON_A_SERVER)
