"""Cross-origin rules as browsers see them."""

from aiohttp import ClientSession

from tests.collector.conftest import Serve
from tests.collector.made import WRITE_KEY, directory_of, project_fields
from tests.collector.test_http_answers import BASIC, EVENT, post

SHOP = "https://shop.example"
ASKS = {
    "Origin": SHOP,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-retry-count",
}


def only(*origins: str, write_key: str = WRITE_KEY) -> dict[str, object]:
    """A project that takes events from these pages alone."""
    return project_fields(allowed_origins=list(origins), write_key=write_key)


async def test_preflight_allows_what_the_sdks_send_and_is_kept_for_ten_minutes(
    client: ClientSession, serve: Serve
) -> None:
    served = await serve()
    async with client.options(f"{served.url}/v1/t", headers=ASKS) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
        allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
        assert {"authorization", "content-type", "x-retry-count", "x-write-key", "anonymousid"} <= set(allowed)
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert answer.headers["Access-Control-Max-Age"] == "600"
        assert answer.headers["Vary"] == "Origin"
        assert await answer.read() == b""


async def test_preflight_refuses_a_page_that_no_project_allows(client: ClientSession, serve: Serve) -> None:
    served = await serve(directory_of(only("https://other.example")))
    async with client.options(f"{served.url}/v1/t", headers=ASKS) as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_preflight_with_a_key_asks_that_project_alone(client: ClientSession, serve: Serve) -> None:
    served = await serve(directory_of(only("https://other.example"), project_fields(write_key="open")))
    for key, is_allowed in ((WRITE_KEY, False), ("open", True)):
        async with client.options(f"{served.url}/beacon/v1/batch?writeKey={key}", headers=ASKS) as answer:
            assert ("Access-Control-Allow-Origin" in answer.headers) is is_allowed


async def test_a_page_can_read_the_answer_and_retry_after(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    for is_loaded, expected in ((True, 200), (False, 503)):
        served.collector.is_loaded = is_loaded
        status, _, headers = await post(client, served, "/v1/t", EVENT, BASIC | {"Origin": SHOP})
        assert status == expected
        assert headers["Access-Control-Allow-Origin"] == SHOP
        assert headers["Access-Control-Expose-Headers"] == "Retry-After"
        assert headers["Vary"] == "Origin"


async def test_an_event_from_a_page_that_is_not_allowed_is_refused_and_not_stored(
    client: ClientSession, serve: Serve
) -> None:
    served = await serve(directory_of(only(SHOP)))
    status, body, headers = await post(client, served, "/v1/t", EVENT, BASIC | {"Origin": "https://evil.example"})
    assert (status, body["code"]) == (403, "origin_not_allowed")
    assert "Access-Control-Allow-Origin" not in headers
    assert served.publisher.records == []
    assert (await post(client, served, "/v1/t", EVENT, BASIC | {"Origin": SHOP}))[0] == 200


async def test_servers_send_no_origin_and_are_not_asked_for_one(client: ClientSession, serve: Serve) -> None:
    served = await serve(directory_of(only(SHOP)))
    status, _, headers = await post(client, served, "/v1/t", EVENT)
    assert status == 200
    assert "Access-Control-Allow-Origin" not in headers
