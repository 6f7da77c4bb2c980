"""Which ends of processes a fault explains: the rules, one by one, and what no rule allows."""

import re
from pathlib import Path

import pytest

from docker.local import PROJECT_ROOT
from tests.chaos.exits import DATABASE, KAFKA, MEMBERS, RULES, SUSPENDED, Ending, Rule, Trouble, unexplained

AT = 1_000.0


def ending(kind: str, code: int, slot: str = "") -> Ending:
    return Ending(slot or f"{kind}-0", kind, code, AT, "the last line of its log")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind} {rule.code}")
def test_a_code_is_allowed_during_its_trouble_and_for_a_while(rule: Rule) -> None:
    end = ending(rule.kind, rule.code)
    for name in rule.troubles:
        assert unexplained([end], [Trouble(name, AT - 1)]) == []
        assert unexplained([end], [Trouble(name, AT - 500, AT - rule.after_s)]) == []
        assert unexplained([end], [Trouble(name, AT - 500, AT - rule.after_s - 0.1)])
        assert unexplained([end], [Trouble(name, AT + 0.1)])
    assert bool(unexplained([end], [])) == bool(rule.troubles)


@pytest.mark.parametrize("kind", ["collector", "streams", "sinks"])
@pytest.mark.parametrize("code", [0, 1, 2, 3, -9, -11, -6])
def test_a_crash_is_red_whatever_is_going_on(kind: str, code: int) -> None:
    everything = [Trouble(name, 0.0) for name in (KAFKA, DATABASE, MEMBERS, SUSPENDED)]
    (said,) = unexplained([ending(kind, code)], everything)
    assert f"{kind}-0 ended by itself with {code}" in said
    assert "the last line of its log" in said
    assert KAFKA in said


def test_a_collector_never_ends_by_itself() -> None:
    everything = [Trouble(name, 0.0) for name in (KAFKA, DATABASE, MEMBERS, SUSPENDED)]
    assert all(unexplained([ending("collector", code)], everything) for code in range(256))


def test_another_process_being_suspended_explains_nothing() -> None:
    assert unexplained([ending("sinks", 69)], [Trouble(SUSPENDED, AT - 1, slot="sinks-1")])
    assert not unexplained([ending("sinks", 69)], [Trouble(SUSPENDED, AT - 1, slot="sinks-0")])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind} {rule.code}")
def test_an_allowed_code_is_documented_by_its_package(rule: Rule) -> None:
    readme = Path(PROJECT_ROOT, rule.kind, "README.md").read_text()
    assert re.search(rf"\b{rule.code}\b", readme)
