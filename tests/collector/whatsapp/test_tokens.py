"""Handshake tokens: one click is one token, people may spell it as they like, and a guess is refused."""

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.whatsapp.tokens import _ALPHABET, NOTHING, find, mint, tenant_key

# The vector that was published with the spelling.
MASTER = b"tally-sample-master"
TENANT = "11111111-1111-4111-8111-111111111111"
PROJECT = "22222222-2222-4222-8222-222222222222"
TOKEN = "F1RBD-DB1B9"
KEY = tenant_key(MASTER, TENANT)
OTHER_KEY = tenant_key(b"the secret before that", TENANT)


def test_the_vector_is_minted() -> None:
    assert mint(KEY, PROJECT, "visitor-1", "", "900000000000001", 498225) == TOKEN


def test_whatever_is_another_click_is_another_token() -> None:
    same = (PROJECT, "visitor-1", "s", "9", 498225)
    others = [(TENANT, *same[1:]), (PROJECT, "visitor-2", *same[2:]), (PROJECT, "visitor-1", "", "9", 498225)]
    others += [(PROJECT, "visitor-1", "s", "", 498225), (PROJECT, "visitor-1", "s", "9", 498226)]
    # The parts are told apart: what ends one does not begin the next.
    others += [(PROJECT, "visitor-1s", "", "9", 498225), (PROJECT, "visitor-1", "s9", "", 498225)]
    assert len({mint(KEY, *one) for one in (same, same, *others)}) == 1 + len(others)
    assert mint(OTHER_KEY, *same) != mint(KEY, *same)


@pytest.mark.parametrize(
    "text",
    [
        f"Hola (Ref {TOKEN})",
        "hi f1rbd db1b9, please",
        "f1rbddb1b9",
        "F1RBD_DB1B9",
        "F1RBD.DB1B9",
        "FlRBD-DBiB9",  # l and i for 1
        "Ref:F1RBD–DB1B9",
        "F1RBD−DB1B9",
        "\u202aF1RBD-DB1B9\u202c",
        "F1R\u200bBD-DB1\u00adB9",
        "Ｆ１ＲＢＤ－ＤＢ１Ｂ９",
        f"strawberry smoothies {TOKEN}",
        f"AAAAA-AAAAA {TOKEN}",  # a wrong one before the right one
        "x" * 988 + f" {TOKEN}",
    ],
)
def test_a_token_is_found_however_it_is_written(text: str) -> None:
    assert find([KEY], text).token == TOKEN


@pytest.mark.parametrize(
    "text",
    ["", "hello world", "strawberry smoothies", "F1RBD--DB1B9", "F1RBD-DB1B", "XF1RBD-DB1B9", "x" * 1000 + f" {TOKEN}"],
)
def test_what_is_none_is_none_and_looks_like_none(text: str) -> None:
    assert find([KEY], text) == NOTHING


def test_a_wrong_tag_is_told_from_words() -> None:
    assert find([KEY], "F1RBD-DB1B8").is_wrong
    assert not find([KEY], "F1RBD-DB1B9").is_wrong


def test_tokens_of_the_secret_before_count_while_it_is_there() -> None:
    before = mint(OTHER_KEY, PROJECT, "visitor-1", "", "9", 498225)
    assert find([KEY, OTHER_KEY], before).token == before
    assert find([KEY, OTHER_KEY], TOKEN).token == TOKEN
    assert find([KEY], before).token == ""


def test_without_keys_nothing_is_found() -> None:
    assert find([], TOKEN).token == ""


SPACES = st.sampled_from(["-", "", " ", "_", ".", "‐", "–", "—"])
VISITORS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(visitor=VISITORS, session=st.text("abc-09", max_size=20), hour=st.integers(0, 10**6), between=SPACES,
       data=st.randoms(use_true_random=False))  # fmt: skip
def test_what_is_minted_is_found_in_any_spelling(
    visitor: str, session: str, hour: int, between: str, data: random.Random
) -> None:
    token = mint(KEY, PROJECT, visitor, session, "9", hour)
    misread = {"0": "0Oo", "1": "1IiLl"}
    typed = "".join(data.choice(misread.get(symbol, symbol + symbol.lower())) for symbol in token.replace("-", ""))
    text = f"Hello! (Ref {typed[:5]}{between}{typed[5:]}), thanks"
    assert find([KEY], text).token == token
    assert unicodedata.is_normalized("NFKC", token)


@given(hour=st.integers(0, 10**6), place=st.integers(0, 9), by=st.integers(1, 31))
def test_one_wrong_symbol_is_refused_or_spelt_as_itself(hour: int, place: int, by: int) -> None:
    """A typo may meet another valid token once in 1,024 times; never is one taken for what it is not."""
    symbols = [*mint(KEY, PROJECT, "v", "", "9", hour).replace("-", "")]
    symbols[place] = _ALPHABET[(_ALPHABET.index(symbols[place]) + by) % 32]
    typed = f"{''.join(symbols[:5])}-{''.join(symbols[5:])}"
    assert find([KEY], typed).token in ("", typed)


def test_of_guesses_one_in_1024_passes_and_of_a_body_exactly_one_tag() -> None:
    chance = random.Random(7)
    for _ in range(3):
        body = chance.getrandbits(40) << 10
        passed = 0
        for tag in range(1024):
            bits = body | tag
            typed = "".join(_ALPHABET[bits >> shift & 31] for shift in range(45, -1, -5))
            passed += find([KEY], typed).token != ""
        assert passed == 1
