"""wrk on the servers' cores: as many requests as a number of connections can make, each body with ids of its own."""

import base64
import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from docker.local.packages import fetch
from docker.local.process import HOST
from tests.bench.lines import WrongOutputError, require_equal
from tests.bench.machine import Cores, on_cores
from tests.bench.traffic import Traffic

CONNECTIONS: Final = 64
_BODIES: Final = 200
_SCRIPT: Final = Path(__file__).with_name("wrk.lua")
MARK: Final = "@@"


@dataclass(frozen=True, slots=True)
class Answered:
    """What wrk saw; latencies in ms."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Target:
    """A server, what is posted to it, and how many events a request has."""

    port: int
    path: str
    bodies: Path
    events: int


def write_bodies(folder: Path, traffic: Traffic, events: int) -> Path:
    """A file of bodies for wrk.lua: one track call each, or batches of `events`."""
    calls = _calls(traffic, _BODIES * events)
    path = folder / f"bodies-{events}"
    with path.open("w") as file:
        for _ in range(_BODIES):
            batch = [next(calls) for _ in range(events)]
            sent_at = _iso_now()
            body = batch[0] | {"sentAt": sent_at} if events == 1 else {"batch": batch, "sentAt": sent_at}
            file.write(json.dumps(body, separators=(",", ":")) + "\n")
    return path


def _calls(traffic: Traffic, count: int) -> Iterator[dict[str, Any]]:
    run = uuid.uuid4().hex[:16]
    for call in traffic.calls(count):
        yield call | {"messageId": f"ajs-next-{run}-{MARK}", "timestamp": _iso_now()}


def _iso_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def drive(target: Target, write_key: str, seconds: float, cores: Cores) -> Answered:
    """Load the target for so long. Raises WrongOutputError unless every answer was 2xx."""
    folder = fetch("wrk")
    basic = base64.b64encode(f"{write_key}:".encode()).decode()
    command = [*on_cores(cores.others), str(folder / "usr" / "bin" / "wrk"), "-t1", f"-c{CONNECTIONS}"]
    command += [f"-d{seconds:.0f}s", "--timeout", "10s", "-s", str(_SCRIPT), f"http://{HOST}:{target.port}", "--"]
    command += [target.path, str(target.bodies), f"Basic {basic}"]
    # Where wrk is unpacked and not installed, the library beside it is.
    libraries = os.pathsep.join(str(path) for path in (folder / "usr" / "lib").glob("*-linux-gnu"))
    environment = os.environ | ({"LD_LIBRARY_PATH": libraries} if libraries else {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 60, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise WrongOutputError(f"wrk ended with {done.returncode}: {(done.stdout + done.stderr)[-1000:]}")
    result = json.loads(lines[-1])
    require_equal("answers that were not 2xx, and requests without one", (result["refused"], result["failed"]), (0, 0))
    return Answered(result["requests"], result["seconds"], result["p50_ms"], result["p99_ms"])


def settle(count: Callable[[], int], quiet_s: float = 0.5) -> int:
    """The count once it has not moved for so long."""
    last, since = count(), time.monotonic()
    while time.monotonic() - since < quiet_s:
        time.sleep(0.05)
        if (now := count()) != last:
            last, since = now, time.monotonic()
    return last
