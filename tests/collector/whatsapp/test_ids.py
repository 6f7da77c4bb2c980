"""Hashed ids: the same id is the same hash in a tenant, and nobody without the secret can tell whose it is."""

import pytest

from collector.whatsapp.ids import hashed_id, ids_key
from schemas.whatsapp import is_phone
from tests.collector.whatsapp.payloads import CARLA, wamid

KEY = ids_key(b"invented ids secret", "tenant")


@pytest.mark.parametrize("text", ["+12025550131", "1 202 555-0131", " 12025550131"])
def test_a_phone_is_the_same_however_it_is_written(text: str) -> None:
    assert hashed_id(KEY, text) == hashed_id(KEY, CARLA[0])


def test_ids_of_other_tenants_secrets_and_people_are_others() -> None:
    keys = [KEY, ids_key(b"invented ids secret", "other"), ids_key(b"another secret", "tenant")]
    hashes = {hashed_id(key, text) for key in keys for text in (*CARLA, wamid("m"))}
    assert len(hashes) == 9
    assert not any(is_phone(one) for one in hashes)
    assert not any(text in one for one in hashes for text in CARLA)


def test_a_user_id_keeps_its_country_and_nothing_stays_nothing() -> None:
    assert hashed_id(KEY, CARLA[1]).startswith("PT.h")
    assert hashed_id(KEY, "") == ""
