"""The import contracts hold, and each fails on a planted fault."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docker.local import PROJECT_ROOT

pytestmark = pytest.mark.command

PACKAGES = ("schemas", "collector", "streams", "sinks")
LAYOUT = {"pyproject.toml", "README.md", "Makefile", "LICENSE", "docker", "tests", *PACKAGES}


def lint(root: Path) -> tuple[int, str]:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and their contracts in a folder of their own."""
    for package in PACKAGES:
        shutil.copytree(PROJECT_ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT_ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_hold(copy: Path) -> None:
    code, said = lint(copy)
    assert code == 0, said


ACROSS_LAYERS = {
    "collector/events/admit.py": "import streams.events.chain",
    "streams/events/chain.py": "import sinks.write.thread",
    "sinks/write/thread.py": "import collector.http.app",
    "schemas/codec.py": "import streams.sessions.state",
}
EFFECTS = {
    "streams/events/deduplicate.py": "import faust",
    "streams/events/enrich.py": "import time",
    "streams/sessions/fold.py": "import random",
    "streams/events/chain.py": "import confluent_kafka",
    "streams/sessions/state.py": "import asyncio",
    "sinks/batching/batcher.py": "import time",
    "sinks/ledger/pages.py": "import prometheus_client",
}
SINKS_LAYERS = {
    "sinks/batching/watermark.py": "import sinks.consume.assignment",
    "sinks/write/delivery.py": "import sinks.ledger.audit",
    "sinks/consume/loop.py": "import sinks.replay.query",
}
SINKS_DATABASE = {
    "sinks/consume/dispatch.py": "import sinks.clickhouse.http",
    "sinks/replay/replay.py": "import sinks.clickhouse.client",
    "sinks/commands/trace.py": "import sinks.clickhouse.trace_tables",
    "sinks/ledger/audit.py": "import clickhouse_driver",
}


def test_every_import_across_the_layers_and_every_effect_in_a_pure_module_fails_the_build(copy: Path) -> None:
    """All planted at once, as a run of the linter takes a while: it names each."""
    planted = [*ACROSS_LAYERS.items(), *EFFECTS.items(), *SINKS_LAYERS.items(), *SINKS_DATABASE.items()]
    for module, line in planted:
        plant(copy / module, line)
    code, said = lint(copy)
    assert code != 0
    assert "meet only in schemas BROKEN" in said
    assert "pure modules know nothing of Kafka, databases, HTTP, clocks or chance BROKEN" in said
    assert "sinks: each folder knows only those beneath it BROKEN" in said
    assert "sinks: which database there is, only sinks.database knows BROKEN" in said
    for module, line in planted:
        importer, imported = module.removesuffix(".py").replace("/", "."), line.removeprefix("import ")
        assert f"{importer} -> {imported}" in said, said


def plant(module: Path, line: str) -> None:
    """Put an import at the end of a module that exists."""
    assert module.exists()
    with module.open("a") as file:
        file.write(f"\n{line}\n")


def test_the_top_level_is_the_fixed_layout() -> None:
    listed = subprocess.run(
        ["git", "ls-tree", "--name-only", "HEAD"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name for name in listed if not name.startswith(".")} == LAYOUT
