"""What a request's route, headers and body say of its events, through the whole collector."""

from typing import Any

import pytest
from aiohttp import ClientSession

from tests.collector.conftest import Serve
from tests.collector.made import PROJECT_ID, RECEIVED_AT, TENANT_ID, as_json, directory_of, project_fields, track
from tests.collector.posting import BASIC, post

YEAR_AND_A_HALF_AGO = RECEIVED_AT - 548 * 86_400_000


async def raw_events(client: ClientSession, serve: Serve, path: str, body: Any, **headers: str) -> list[dict[str, Any]]:
    """What one request stores, which is answered 200."""
    served = await serve()
    status, _, _ = await post(client, served, path, as_json(body), BASIC | headers)
    assert status == 200
    return served.publisher.decoded("raw_events")


@pytest.mark.parametrize(
    ("policy", "address"), [("keep", "127.0.0.1"), ("remove", ""), ("stripLastOctet", "127.0.0.0"), ("?", "")]
)
async def test_the_policy_of_a_request_is_applied_to_its_address(
    client: ClientSession, serve: Serve, policy: str, address: str
) -> None:
    (event,) = await raw_events(client, serve, "/api/s/track", track(), **{"X-IP-Policy": policy})
    assert event["ip_address"] == address


async def test_only_the_route_of_imports_keeps_old_times(client: ClientSession, serve: Serve) -> None:
    sent = {"batch": [track(timestamp=YEAR_AND_A_HALF_AGO)]}
    (old,) = await raw_events(client, serve, "/v1/import", sent)
    assert round(old["timestamp"].timestamp() * 1000) == YEAR_AND_A_HALF_AGO
    (now,) = await raw_events(client, serve, "/v1/batch", sent)
    assert now["timestamp"] == now["received_at"]


async def test_strangers_with_a_placeholder_do_not_share_a_key(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    nil = "00000000-0000-0000-0000-000000000000"
    for agent in ("A", "B", "A"):
        await post(client, served, "/v1/track", track(anonymousId=nil, context={"userAgent": agent}), BASIC)
    first, second, again = [record["key"] for _, record in served.publisher.records]
    assert first == again != second
    assert first.startswith(f"{TENANT_ID}/{PROJECT_ID}/v/{nil}/".encode())
    assert [event["anonymous_id"] for event in served.publisher.decoded("raw_events")] == [nil] * 3


async def test_the_placeholders_of_a_project_hold_for_all_its_write_keys(client: ClientSession, serve: Serve) -> None:
    of_another_key = project_fields(write_key="another", settings='{"placeholder_ids": ["no-user"]}')
    served = await serve(directory_of(project_fields(), of_another_key))
    for agent in ("A", "B"):
        await post(client, served, "/v1/track", track(anonymousId="No-User", context={"userAgent": agent}), BASIC)
    first, second = [record["key"] for _, record in served.publisher.records]
    assert first != second


async def test_a_nan_in_a_single_event_is_a_dead_letter_with_its_bytes(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    sent = b'{"event":"E","userId":"u","messageId":"m-1","properties":{"price":NaN}}'
    status, body, _ = await post(client, served, "/v1/track", sent, BASIC)
    assert (status, body) == (200, {"success": True})
    (letter,) = served.publisher.decoded("dead_letters")
    assert (letter["payload"], letter["reason"]) == (sent, "event_not_json")
