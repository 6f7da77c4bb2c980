"""SDKs of Java, and those that the makers of Segment's have replaced and people still use, unmodified."""

import json
import os
import sys
from pathlib import Path

import pytest

from docker.local.packages import fetch
from docker.local.tools import java, require_tool
from tests.collector.running import Running
from tests.collector.sdks.programs import run, stored_by_type

_SCRIPTS = Path(__file__).parent
_TYPES = ["alias", "group", "identify", "page", "track"]


@pytest.mark.parametrize("encoding", ["plain", "gzip"])
def test_analytics_python_1(running: Running, encoding: str) -> None:
    script = str(_SCRIPTS / "analytics_python.py")
    run([sys.executable, script, running.url, running.write_key, encoding], PYTHONPATH=str(fetch("older-python-sdk")))
    found = stored_by_type(running)
    assert sorted(found) == _TYPES
    assert json.loads(found["track"]["properties"]) == {"price": 12.5, "big": 9007199254740993}
    assert (found["identify"]["user_id"], found["identify"]["properties"]) == ("u1", '{"plan": "pro"}')
    assert (found["group"]["group_id"], found["alias"]["previous_id"]) == ("g1", "a1")
    assert json.loads(found["track"]["context"])["library"]["version"] == "1.4.post1"


def test_analytics_node_6(running: Running) -> None:
    script = str(_SCRIPTS / "analytics_node.cjs")
    modules = str(fetch("older-node-sdk") / "node_modules")
    run([require_tool("node"), script, running.url, running.write_key], NODE_PATH=modules)
    found = stored_by_type(running)
    assert sorted(found) == _TYPES
    assert json.loads(found["track"]["properties"]) == {"price": 12.5, "big": 9007199254740991}
    assert {event["user_id"] for event in found.values()} == {"17"}
    assert (found["group"]["group_id"], found["alias"]["previous_id"]) == ("23", "a1")
    assert json.loads(found["track"]["context"])["library"] == {"name": "analytics-node", "version": "6.2.0"}


@pytest.mark.parametrize("program", ["SegmentJava", "RudderJava"])
def test_java(running: Running, tmp_path: Path, program: str) -> None:
    jars = os.pathsep.join(str(jar) for jar in sorted((fetch("java-sdks") / "libs").glob("*.jar")))
    compiler = [str(java()), "-cp", jars, "org.eclipse.jdt.internal.compiler.batch.Main", "-17", "-cp", jars]
    run([*compiler, "-d", str(tmp_path), str(_SCRIPTS / f"{program}.java")])
    run([str(java()), "-cp", os.pathsep.join([str(tmp_path), jars]), program, running.url, running.write_key])
    found = stored_by_type(running)
    assert sorted(found) == _TYPES
    assert json.loads(found["track"]["properties"]) == {"price": 12.5, "big": 9007199254740993}
    assert (found["track"]["event_name"], found["page"]["event_name"]) == ("Order Completed", "Start")
    assert json.loads(found["identify"]["properties"]) == {"plan": "pro"}
    assert (found["group"]["group_id"], found["alias"]["previous_id"]) == ("g1", "a1")
