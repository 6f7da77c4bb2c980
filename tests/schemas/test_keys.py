"""Kafka keys: different things have different keys, and those of ordinary ids are what they always were."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.projects.record import project_record
from schemas import keys

SESSION: Final = "abcdef00-0000-4000-8000-000000000000"
SCOPE: Final = keys.scope("t", "p")

hostile = st.text("ab/%2F5", min_size=1, max_size=8)
ids = hostile | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
ordinary = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/%"), min_size=1, max_size=20)
sessions = st.none() | st.just(SESSION) | ids
owners = st.tuples(*2 * [st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1)])


@given(ids, sessions, ids, sessions)
def test_two_sessions_have_two_keys(
    visitor: str, session: str | None, other: str, session_of_other: str | None
) -> None:
    one, two = keys.of_raw_event(SCOPE, visitor, session), keys.of_raw_event(SCOPE, other, session_of_other)
    assert (one == two) == ((visitor, session) == (other, session_of_other))


@pytest.mark.parametrize(
    ("one", "other"), [(("a/b", "c"), ("a", "b/c")), (("a%2Fb", "c"), ("a/b", "c")), (("a", SESSION), ("b", "c"))]
)
def test_a_slash_moves_nothing_from_the_visitor_into_the_session(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert keys.of_raw_event(SCOPE, *one) != keys.of_raw_event(SCOPE, *other)


@given(owners, ids, sessions)
def test_the_owner_is_read_off_the_key(owner: tuple[str, str], visitor: str, session: str | None) -> None:
    assert keys.owner_of(keys.of_raw_event(keys.scope(*owner), visitor, session)) == owner


@given(owners, ids, sessions)
def test_the_session_that_a_client_keeps_is_read_off_the_key(
    owner: tuple[str, str], visitor: str, session: str | None
) -> None:
    assert keys.owner_and_client_session_of(keys.of_raw_event(keys.scope(*owner), visitor, session)) == (
        *owner,
        session,
    )


def test_the_session_is_read_off_a_key_of_before_the_visitor_stood_in_it() -> None:
    assert keys.owner_and_client_session_of(f"t/p/s/{SESSION}".encode()) == ("t", "p", SESSION)


@given(st.none() | st.binary(max_size=30))
def test_any_key_names_an_owner_or_nobody(key: bytes | None) -> None:
    tenant_id, project_id = keys.owner_of(key)
    assert "/" not in tenant_id + project_id


@given(st.tuples(owners, ids, ids), st.tuples(owners, ids, ids))
def test_two_identities_have_two_keys(
    one: tuple[tuple[str, str], str, str], two: tuple[tuple[str, str], str, str]
) -> None:
    names = [(owner[0], anonymous_id, user_id) for owner, anonymous_id, user_id in (one, two)]
    assert len({keys.of_identity(*name) for name in names}) == len(set(names))


@given(owners, ids, ids)
def test_two_claims_have_two_keys(tenants: tuple[str, str], visitor: str, other: str) -> None:
    names = {(tenant_id, anonymous_id) for tenant_id in tenants for anonymous_id in (visitor, other)}
    assert len({keys.of_claim(*name) for name in names}) == len(names)
    assert keys.of_claim(tenants[0], visitor) != f"{tenants[0]}{keys.OF_HANDSHAKE}{other}".encode()


@given(ordinary, ordinary, ids)
def test_keys_of_ordinary_ids_are_what_they_always_were(visitor: str, other: str, last: str) -> None:
    """States, topics and session ids of earlier releases hang on them."""
    assert keys.of_raw_event(SCOPE, last, None) == f"t/p/v/{last}".encode()
    assert keys.of_raw_event(SCOPE, visitor, last) == f"t/p/s/{visitor}/{last}".encode()
    assert keys.of_identity("t", visitor, last) == f"t/{visitor}/{last}".encode()
    assert keys.of_claim("t", last) == f"t/a/{last}".encode()
    assert keys.of_session("t", SESSION) == f"t/{SESSION}".encode()
    assert keys.of_dead_letter("t", "p") == b"t/p"
    assert keys.of_signal("t", "p", visitor) == f"t/p/{visitor}".encode()
    assert keys.of_conversation("t", SESSION) == f"t/{SESSION}".encode()


@given(owners, ids, ids)
def test_a_state_of_a_customer_leads_to_the_key_of_its_signals(
    owner: tuple[str, str], number: str, customer: str
) -> None:
    signals = keys.of_signal(*owner, number)
    for of in (keys.of_customer, keys.of_names):
        assert keys.source_of_state(of(signals, customer)) == signals
    raw = keys.of_raw_event(keys.scope("t", "p"), customer, None)
    assert keys.source_of_state(raw) == raw


@given(ids)
def test_what_is_escaped_is_one_part_and_can_be_told_from_all_others(text: str) -> None:
    escaped = keys.escaped(text)
    assert "/" not in escaped
    assert escaped.replace("%2F", "/").replace("%25", "%") == text


@pytest.mark.parametrize("owner", [("", "p"), ("t", ""), ("a/b", "p"), ("t", "p/v")])
def test_owners_whose_key_could_be_another_s_are_refused(owner: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"is empty or has a '/'"):
        keys.scope(*owner)


@pytest.mark.parametrize("tenant_id", ["a/b", "", "tenant", f"{SESSION}/x"])
def test_no_such_tenant_can_be_added(tenant_id: str) -> None:
    with pytest.raises(ValueError, match=r"--tenant: .* is no UUID"):
        project_record(None, 0, name="Shop", tenant_id=tenant_id)
