"""What `ServerProcess` promises, with a server of a few lines in place of the real ones."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from docker.local import PROJECT_ROOT
from docker.local.process import HOST, ServerFailedError, ServerProcess, free_port, is_alive

pytestmark = pytest.mark.integration


class WebServer(ServerProcess):
    """Serves its own folder over HTTP."""

    def __init__(self, home: Path, *, ends_with_parent: bool = True) -> None:
        super().__init__("web", home, ends_with_parent=ends_with_parent)
        self.port = free_port()

    def command(self) -> list[str]:
        return [sys.executable, "-m", "http.server", str(self.port), "--bind", HOST, "--directory", f"{self.home}/"]

    def is_ready(self) -> bool:
        return self.answers(timeout_s=1.0)

    def answers(self, timeout_s: float) -> bool:
        try:
            urllib.request.urlopen(f"http://{HOST}:{self.port}/", timeout=timeout_s).close()
        except OSError:
            return False
        return True


class BrokenServer(WebServer):
    """Says why, and ends."""

    def command(self) -> list[str]:
        return [sys.executable, "-c", "import sys; sys.exit('the disk is on fire')", f"{self.home}/"]


class SilentServer(WebServer):
    """Lives, ignores SIGTERM, and never becomes ready."""

    def command(self) -> list[str]:
        code = (
            "import signal, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "print('deaf', flush=True)\n"
            "time.sleep(60)\n"
        )
        return [sys.executable, "-c", code, f"{self.home}/"]

    def is_ready(self) -> bool:
        return False


class DeafServer(SilentServer):
    """Ready as soon as it ignores SIGTERM."""

    def is_ready(self) -> bool:
        return "deaf" in self.log_tail()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    with WebServer(tmp_path / "web") as running:
        yield running


def wait_until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_server_that_ends_while_starting_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ServerFailedError, match="the disk is on fire"):
        BrokenServer(tmp_path).start()


def test_server_that_never_becomes_ready_is_ended_and_an_error(tmp_path: Path) -> None:
    server = SilentServer(tmp_path)
    with pytest.raises(ServerFailedError, match="not ready after"):
        server.start(timeout_s=0.5)
    assert not server.running


def test_log_tail_leaves_out_what_earlier_starts_said(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("yesterday's news\n")
    with pytest.raises(ServerFailedError) as caught:
        BrokenServer(tmp_path).start()
    assert "news" not in caught.value.log_tail


def test_server_deaf_to_the_polite_signal_is_ended_by_force(tmp_path: Path) -> None:
    server = DeafServer(tmp_path).start()
    pid = server.pid
    assert pid is not None
    server.stop(timeout_s=0.3)
    assert not is_alive(pid)


def test_restart_keeps_the_port_and_changes_the_process(server: WebServer) -> None:
    port, pid = server.port, server.pid
    server.restart()
    assert server.port == port
    assert server.pid != pid
    assert server.answers(timeout_s=5)


def test_start_after_a_kill_brings_the_server_back(server: WebServer) -> None:
    server.kill()
    assert not server.running
    assert not server.answers(timeout_s=1)
    server.start()
    assert server.answers(timeout_s=5)


def test_suspended_server_is_silent_until_it_resumes(server: WebServer) -> None:
    server.suspend()
    assert server.running
    assert not server.answers(timeout_s=0.3)
    server.resume()
    assert server.answers(timeout_s=5)


def test_suspended_server_can_be_stopped_politely(server: WebServer) -> None:
    server.suspend()
    server.stop()
    assert not server.running


def test_second_object_finds_the_server_through_its_pid_file(server: WebServer) -> None:
    other = WebServer(server.home)
    other.port = server.port
    assert other.pid == server.pid
    other.start()
    assert other.pid == server.pid
    other.stop()
    assert not server.running


def test_pid_of_another_program_is_not_believed_nor_signalled(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (tmp_path / "server.pid").write_text(f"{stranger.pid}\n")
        server = WebServer(tmp_path)
        assert not server.running
        server.kill()
        server.stop()
        with server:
            assert server.pid != stranger.pid
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("text", ["", "not a number", "999999999"])
def test_unusable_pid_file_means_not_running(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.pid").write_text(text)
    assert not WebServer(tmp_path).running


def test_server_started_by_a_worker_thread_outlives_that_thread(tmp_path: Path) -> None:
    server = WebServer(tmp_path)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(server.start).result()
    with server:
        assert server.answers(timeout_s=5)


@pytest.mark.parametrize(("ends_with_parent", "survives"), [(True, False), (False, True)])
def test_server_ends_with_a_killed_parent_only_if_asked(tmp_path: Path, ends_with_parent: bool, survives: bool) -> None:
    code = (
        "import pathlib, sys, time\n"
        "from tests.local.test_process import WebServer\n"
        f"WebServer(pathlib.Path(sys.argv[1]), ends_with_parent={ends_with_parent}).start()\n"
        "print('started', flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=PROJECT_ROOT) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        server = WebServer(tmp_path)
        pid = server.pid
        assert pid is not None
        parent.kill()
    if survives:
        assert server.running
        server.kill()
    wait_until(lambda: not is_alive(pid))


def test_processes_of_a_server_are_one_group_of_their_own(server: WebServer) -> None:
    assert server.pid is not None
    assert os.getpgid(server.pid) == server.pid != os.getpgrp()
