"""Splitting a batch that is not JSON everywhere."""

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.events import salvage as salvage_module
from collector.events.event import replace_lone_surrogates
from collector.events.salvage import salvage
from tests.collector.events.json_values import values

Step = Callable[[bytes, int], re.Match[bytes] | None]
spaces = st.sampled_from(["", " ", "\n\t "])


@given(st.lists(values, max_size=4), st.dictionaries(st.text(min_size=1, max_size=5), values, max_size=3), spaces)
def test_salvaging_json_gives_what_json_gives(elements: list[object], members: dict[str, object], space: str) -> None:
    members.pop("batch", None)
    separators = (f"{space},{space}", f"{space}:{space}")
    body = space + json.dumps({"before": 1} | members | {"batch": elements} | {"after": [2]}, separators=separators)
    salvaged = salvage(body.encode())
    assert salvaged is not None
    assert salvaged.elements is not None
    assert [json.loads(element) for element in salvaged.elements] == elements
    expected = {"before": 1} | members | {"batch": elements, "after": [2]}
    assert {json.loads(name): json.loads(value) for name, value in salvaged.members.items()} == expected


def test_what_is_not_json_stands_alone() -> None:
    salvaged = salvage(b'{"batch":[{"a":1},{"n":NaN},{"b":.5e,},garbage,{"c":[",]}"]},],"writeKey":"k"}')
    assert salvaged is not None
    assert salvaged.elements == [b'{"a":1}', b'{"n":NaN}', b'{"b":.5e,}', b"garbage", b'{"c":[",]}"]}']
    assert salvaged.members[b'"writeKey"'] == b'"k"'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"[]",
        b'"x"',
        b'{"batch":[{}',
        b'{"batch":[{]}}',
        b'{"a":"x',
        b"{} {}",
        b"x{}",
        b"{}x",
        b'{"a":"\\"}',
        b"}",
    ],
)
def test_what_cannot_be_split_is_none(body: bytes) -> None:
    assert salvage(body) is None


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\ab', max_size=60).map(str.encode))
def test_no_bytes_raise(body: bytes) -> None:
    salvage(body)


@pytest.mark.parametrize("unit", [b'\\"', b"[", b"[]", b"{}", b"a,", b'"",', b"\\", b'":'])
@pytest.mark.parametrize("opening", [b'{"batch":["', b'{"batch":['])
def test_a_body_made_to_be_slow_is_read_once_and_in_a_bounded_number_of_steps(
    monkeypatch: pytest.MonkeyPatch, opening: bytes, unit: bytes
) -> None:
    """Patterns that never try anything twice make a step linear; here the steps are counted."""
    read: list[int] = []

    def counted(step: Step) -> Step:
        def counting(body: bytes, start: int) -> re.Match[bytes] | None:
            match = step(body, start)
            read.append(0 if match is None else match.end() - start)
            return match

        return counting

    for name in ("_NEXT_TOKEN", "_NEXT_BRACKET"):
        monkeypatch.setattr(salvage_module, name, counted(getattr(salvage_module, name)))
    body = opening + unit * (500_000 // len(unit))
    assert salvage(body) is None
    assert sum(read) <= len(body)
    assert len(read) <= salvage_module.TOKENS_MAX


@pytest.mark.parametrize(
    ("sent", "mended"),
    [
        (rb'"\ud83d"', rb'"\ufffd"'),
        (rb'"\ude00 x"', rb'"\ufffd x"'),
        (rb'"\uD83D\uDE00"', rb'"\uD83D\uDE00"'),
        (rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"'),
        (rb'"\\ud83d"', rb'"\\ud83d"'),
        (rb'"\\\ud83d"', rb'"\\\ufffd"'),
        (rb'"\u00e9\"\ud83dx"', rb'"\u00e9\"\ufffdx"'),
    ],
)
def test_only_lone_surrogates_are_replaced(sent: bytes, mended: bytes) -> None:
    assert replace_lone_surrogates(sent) == mended


@given(st.text(st.characters(codec=None, categories=["Cs", "Ll", "So"], include_characters='\\"u'), max_size=12))
def test_mended_text_has_no_surrogate_left_and_keeps_the_rest(text: str) -> None:
    mended = json.loads(replace_lone_surrogates(json.dumps(text).encode()))
    as_pairs = json.loads(json.dumps(text))  # two neighbouring halves read as one character
    assert mended == "".join("\ufffd" if 0xD800 <= ord(char) <= 0xDFFF else char for char in as_pairs)
