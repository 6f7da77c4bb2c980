"""The import contracts hold, and each fails on a planted fault."""

import re
import shutil
import subprocess
import sys
import tomllib
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


# For each contract of pyproject.toml, modules that exist and imports that it must not let pass.
PLANTED = {
    "collector, streams and sinks meet only in schemas": {
        "collector/events/admit.py": "streams.events.chain",
        "streams/events/chain.py": "sinks.write.thread",
        "sinks/write/thread.py": "collector.http.app",
        "schemas/codec.py": "streams.sessions.state",
    },
    "pure modules know nothing of Kafka, databases, HTTP, clocks or chance": {
        "schemas/keys.py": "time",
        "schemas/dead_letters.py": "confluent_kafka",
        "collector/errors.py": "aiohttp",
        "collector/events/event_ids.py": "random",
        "collector/events/timestamps.py": "time",
        "collector/http/routes.py": "asyncio",
        "collector/projects/authenticate.py": "confluent_kafka",
        "streams/dead_letters.py": "time",
        "streams/events/deduplicate.py": "aiokafka",
        "streams/events/enrich.py": "time",
        "streams/identities/links.py": "random",
        "streams/runtime/operator.py": "asyncio",
        "streams/sessions/fold.py": "random",
        "sinks/batching/batcher.py": "time",
        "sinks/ledger/pages.py": "prometheus_client",
    },
    "the collector and the commands of schemas start without the libraries of columns": {
        "collector/events/salvage.py": "polars",
        "schemas/settings.py": "numpy",
    },
    "schemas: from the commands down to what knows nothing else": {
        "schemas/codec.py": "schemas.projects_follower",
        "schemas/outcomes.py": "schemas.settings",
        "schemas/topics.py": "schemas.apply.topics",
    },
    "collector: each folder knows only those beneath it": {
        "collector/events/parse.py": "collector.ingest",
        "collector/http/app.py": "collector.server.admin",
        "collector/ingest.py": "collector.http.routes",
        "collector/kafka/publisher.py": "collector.http.counts",
        "collector/projects/directory.py": "collector.events.admit",
    },
    "collector: HTTP hands over to ingest and knows no Kafka": {
        "collector/http/body.py": "confluent_kafka",
        "collector/http/resources.py": "collector.kafka.publisher",
        "collector/http/settings_route.py": "collector.projects.topic",
    },
    "collector: the way to Kafka knows no HTTP": {
        "collector/events/context.py": "multidict",
        "collector/kafka/encode.py": "aiohttp",
        "collector/projects/record.py": "aiohttp",
    },
    "collector: librdkafka is known in kafka and in the projects' topic alone": {
        "collector/projects/commands.py": "confluent_kafka",
        "collector/server/admin.py": "aiokafka",
    },
    "streams: the runtime knows no domain, and each domain only what is beneath it": {
        "streams/identities/chain.py": "streams.events.claims",
        "streams/runtime/epochs.py": "streams.events.enrich",
        "streams/runtime/store.py": "streams.sessions.state",
        "streams/sessions/rows.py": "streams.events.decode",
    },
    "streams: domains know of the runtime the contract alone": {
        "streams/events/decode.py": "streams.runtime.chunks",
        "streams/identities/state.py": "streams.runtime.tables",
        "streams/sessions/state.py": "streams.runtime.state_cache",
    },
    "Faust is known in streams.runtime alone": {
        "streams/events/claims.py": "faust",
        "streams/topology.py": "faust.types",
        "sinks/service.py": "mode",
    },
    "streams.runtime: from the admin port down to the contract": {
        "streams/runtime/chunks.py": "streams.runtime.app",
        "streams/runtime/exits.py": "streams.runtime.epochs",
    },
    "sinks: each folder knows only those beneath it": {
        "sinks/batching/watermark.py": "sinks.consume.assignment",
        "sinks/write/delivery.py": "sinks.ledger.audit",
        "sinks/consume/loop.py": "sinks.replay.query",
    },
    "sinks: which database there is, only sinks.database knows": {
        "sinks/consume/dispatch.py": "sinks.clickhouse.http",
        "sinks/replay/replay.py": "sinks.clickhouse.client",
        "sinks/commands/trace.py": "sinks.clickhouse.trace_tables",
        "sinks/ledger/audit.py": "clickhouse_driver",
    },
}


def test_each_contract_fails_on_what_it_must_not_let_pass(copy: Path) -> None:
    """All planted at once, as a run of the linter takes a while: it names each."""
    contracts = tomllib.loads((copy / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert {contract["name"] for contract in contracts} == set(PLANTED)
    planted = [(module, imported) for imports in PLANTED.values() for module, imported in imports.items()]
    for module, imported in planted:
        plant(copy / module, f"import {imported}")
    code, said = lint(copy)
    assert code != 0
    for name, imports in PLANTED.items():
        reasons = broken(said, name)
        for module, imported in imports.items():
            importer = module.removesuffix(".py").replace("/", ".")
            package = imported.partition(".")[0]
            assert f"{importer} -> {imported if package in PACKAGES else package} " in reasons, said


def broken(said: str, name: str) -> str:
    """Why the linter calls a contract broken: the part under its name."""
    reasons = re.search(rf"\n{re.escape(name)}\n-+\n(.*?)(?:\n\S[^\n]*\n-{{5,}}\n|\Z)", said, re.DOTALL)
    assert reasons is not None, said
    return reasons[1]


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
