"""`python -m streams state` and `explain`, as people call them, over what a worker made on a real Kafka."""

import os
import subprocess
import sys
from typing import Final

import pytest

from docker.local.process import free_port
from schemas.settings import Settings, to_environ
from streams.inspection.commands import NOT_FOUND
from streams.inspection.explain import Event, explained
from streams.inspection.states import is_of_visitor
from streams.topology import rules
from tests.streams.commands_here import ask_here
from tests.streams.raw import RAW, key_of, raw_event
from tests.streams.rig import StreamsRig
from tests.streams.universe import PROJECTS

MINUTE_MS: Final = 60_000
T0: Final = 1_794_999_600_000  # a half-hour begins


def ask(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    command = [sys.executable, "-m", "streams", *arguments]
    return subprocess.run(command, env=environ | to_environ(settings), capture_output=True, text=True, timeout=60)


def test_what_a_worker_made_of_a_visitor_is_shown_and_explained(rig: StreamsRig) -> None:
    minutes = (0, 10, 55, 60)
    rows = [
        raw_event(number, anonymous_id="ann", timestamp=T0 + minute * MINUTE_MS, received_at=T0 + minute * MINUTE_MS,
                  event_name=f"at {minute}", event_type="track")
        for number, minute in enumerate(minutes)
    ]  # fmt: skip
    rows.append(raw_event(9, event_type="identify", event_name="", anonymous_id="ann", user_id="u1", timestamp=T0,
                          received_at=T0))  # fmt: skip
    rig.produce([(key_of(row), RAW.encode(row)) for row in rows])
    worker = rig.worker()
    worker.start()
    rig.catch_up()
    assert worker.terminate() == 0

    key = key_of(rows[0]).decode()
    shown = ask(rig.settings, "state", "--anonymous", "ann", "--project", PROJECTS[0])
    assert (shown.returncode, shown.stderr) == (0, "")
    partition = rig.records("raw_events")[0].partition
    parts = [f"key        {key}", f"partition  {partition}", "-sessions-changelog, offset ", '"events": 3']
    parts += ["applied    4, ", "-identities-changelog, offset ", '"u1": {', '"link_source": "identify"']
    for line in parts:
        assert line in shown.stdout, shown.stdout
    exact = ask_here(rig.settings, "state", key)
    assert exact.stdout in shown.stdout
    assert "identities" not in exact.stdout

    first, second = sorted({row["session_id"] for row in rig.rows("enriched_events")},
                           key=[row["session_id"] for row in rig.rows("enriched_events")].index)  # fmt: skip
    told = ask_here(rig.settings, "explain", first)
    assert (told.exit_code, told.stderr) == (0, "")
    assert "because no earlier event of this key" in told.stdout
    assert "because the event after it is 45 min later, more than 30 min" in told.stdout
    told = ask_here(rig.settings, "explain", second.upper())
    assert "because the event before it is 45 min earlier, more than 30 min" in told.stdout
    assert "because no later event of this key is there yet" in told.stdout

    nobody = ask_here(rig.settings, "explain", "00000000-0000-4000-8000-000000000000")
    assert (nobody.exit_code, nobody.stdout) == (NOT_FOUND, "")
    assert "no session 0000" in nobody.stderr
    nobody = ask_here(rig.settings, "state", "t/p/v/nobody")
    assert nobody.exit_code == NOT_FOUND
    assert "no state" in nobody.stderr


@pytest.mark.parametrize("arguments", [(), ("key", "--anonymous", "a"), ("--anonymous", "a"), ("--project", "p")])
def test_options_that_say_not_enough_or_too_much_are_refused(arguments: tuple[str, ...]) -> None:
    refused = ask_here(Settings.model_validate({}), "state", *arguments)
    assert refused.exit_code == 2
    assert "give a KEY, or --anonymous ID with --project P" in refused.stderr


@pytest.mark.command
def test_a_kafka_that_is_away_is_said_so() -> None:
    settings = Settings.model_validate({"kafka_bootstrap": f"127.0.0.1:{free_port()}"})
    away = ask(settings, "state", "t/p/v/ann")
    assert away.returncode == 69
    assert "Kafka at 127.0.0.1" in away.stderr


def test_whose_key_it_is() -> None:
    for key in (b"t/p/v/a", b"t/p/s/a/17"):
        assert is_of_visitor(key, "a", "p")
    for key in (b"t/p/v/ab", b"t/q/v/a", b"t/p/s/ab/17", b"t/a/v/a"):
        assert not is_of_visitor(key, "a", "p")
    assert is_of_visitor(b"t/p/s/a%2Fb/17", "a/b", "p")


def test_late_events_and_full_lengths_are_told_as_such() -> None:
    bounds = rules(Settings.model_validate({})).sessions
    long = [Event(T0 + number * 20 * MINUTE_MS, "e", 0, number, "a" if number < 72 else "b") for number in range(80)]
    text = "\n".join(explained(long, {"b"}, bounds))
    assert "the session before it, a, has its full length, 48 stretches of 30 min" in text
    assert "it has its full length" in "\n".join(explained(long, {"a"}, bounds))
    late = [Event(T0, "new", 0, 0, "a"), Event(T0 - 25 * 60 * MINUTE_MS, "old", 0, 1, "c")]
    assert "it came later than 24 h behind" in "\n".join(explained(late, {"c"}, bounds))
    assert "retention" in "\n".join(explained(late, {"z"}, bounds))
