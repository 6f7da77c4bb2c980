"""A trial tells a fault that tests see from one that they don't, and leaves the tree as it was."""

import pytest

from tests.mutants.fault import Fault
from tests.mutants.trial import Trial, Verdict

pytestmark = pytest.mark.command

SHOP = "def doubled(number: int) -> int:\n    return 2 * number  # twice\n"
TESTS = """
import os, shop
def test_two(): assert shop.doubled(2) == 4
def test_end():
    if shop.doubled(1) != 2: os._exit(70)
"""


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Over a project of one module."""
    root = tmp_path_factory.mktemp("root")
    (root / "shop.py").write_text(SHOP)
    (root / "test_shop.py").write_text(TESTS)
    (root / "pytest.ini").write_text("[pytest]\nmarkers =\n  integration: on servers\n")
    return Trial(root, tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize(
    ("becomes", "test", "verdict"),
    [
        ("number + 2", "test_shop.py::test_two", Verdict.SURVIVED),
        ("number + 2", "test_shop.py::test_end", Verdict.KILLED),
        ("3 * number", "test_shop.py::test_three", Verdict.NOT_RUN),
        ("3 * number", "test_shopping.py", Verdict.NOT_RUN),
    ],
    ids=["not seen", "ends the process", "no such test", "no such file"],
)
def test_the_verdict_is_that_of_the_tests(trial: Trial, becomes: str, test: str, verdict: Verdict) -> None:
    fault = Fault("shop-wrong", "shop.py", "2 * number", becomes, (test,), "Twice is twice.")
    assert trial.try_fault(fault).verdict is verdict


def test_nothing_is_left_of_a_fault_that_was_tried(trial: Trial) -> None:
    fault = Fault("shop-wrong", "shop.py", "2 * number", "3 * number", ("test_shop.py",), "Twice is twice.")
    assert trial.try_fault(fault).verdict is Verdict.KILLED
    assert trial.run(["test_shop.py"]).verdict is Verdict.SURVIVED
