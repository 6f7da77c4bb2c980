"""Programs that use an SDK, and what the collector made of what they sent."""

import subprocess
from typing import Any

from docker.local.tools import bare_environ
from tests.collector.running import Running


def run(command: list[str], **environment: str) -> None:
    """Run a program to its end; it must end with 0."""
    done = subprocess.run(
        command,
        env=bare_environ(**environment),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def stored_by_type(running: Running) -> dict[str, dict[str, Any]]:
    """The raw events by their type; nothing was refused and each type came once."""
    assert running.stored("dead_letters") == []
    events = running.raw_events()
    found = {event["event_type"]: event for event in events}
    assert len(found) == len(events)
    return found
