"""The list of faults fits the code of today. None is planted here: `make mutants` does that."""

from pathlib import Path

import pytest

from docker.local import PROJECT_ROOT
from tests.mutants.every import EVERY
from tests.mutants.fault import Fault, StaleError


@pytest.mark.parametrize("fault", EVERY, ids=[fault.name for fault in EVERY])
def test_a_fault_changes_one_place_of_its_file_and_leaves_it_python(fault: Fault) -> None:
    path = PROJECT_ROOT / fault.file
    sound = path.read_text()
    planted = fault.planted(sound)
    assert planted != sound
    compile(planted, fault.file, "exec")


@pytest.mark.parametrize("fault", EVERY, ids=[fault.name for fault in EVERY])
def test_the_tests_that_must_turn_red_are_there(fault: Fault) -> None:
    assert fault.tests
    for test in fault.tests:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (PROJECT_ROOT / path).read_text()


def test_each_fault_has_a_name_of_its_own_and_says_what_it_breaks() -> None:
    assert len({fault.name for fault in EVERY}) == len(EVERY)
    folder = {fault.name: Path(fault.file).parts[0] for fault in EVERY}
    assert {name.partition("-")[0] for name in folder} == {"streams", "sinks", "collector", "schemas"}
    assert all(fault.guarantee.endswith(".") for fault in EVERY)


@pytest.mark.parametrize("source", ["", "a = 1\na = 1\n"], ids=["gone", "twice"])
def test_a_text_that_is_not_there_once_is_told(source: str) -> None:
    with pytest.raises(StaleError, match=r"one: shop\.py has its text"):
        Fault("one", "shop.py", "a = 1", "a = 2", (), "Nothing.").planted(source)
