"""Cross-origin rules as browsers see them."""

import pytest
from aiohttp import ClientSession

from collector.http import cors
from tests.collector.conftest import Serve
from tests.collector.made import WRITE_KEY, directory_of, project_fields
from tests.collector.posting import BASIC, EVENT, post

SHOP = "https://shop.example"
ASKS = {
    "Origin": SHOP,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-retry-count",
}


def only(*origins: str, write_key: str = WRITE_KEY) -> dict[str, object]:
    """A project that takes events from these pages alone."""
    return project_fields(allowed_origins=list(origins), write_key=write_key)


@pytest.mark.parametrize(
    "names",
    [
        "anonymousid,authorization,content-type,sentat",
        "authorization,content-type,rsa-recovered,rsa-retry-attempt,rsa-retry-reason,rsa-since-last-attempt,sentat",
        "content-type,x-enable-debug,x-ip-policy,x-write-key",
        "authorization, baggage, content-type, sentry-trace, traceparent",
        "x-a-header-that-nobody-has-thought-of",
    ],
)
@pytest.mark.parametrize("origin", [SHOP, "null", "http://localhost:3000", "capacitor://localhost"])
async def test_preflight_allows_every_header_it_is_asked_for(
    client: ClientSession, serve: Serve, names: str, origin: str
) -> None:
    served = await serve()
    asks = ASKS | {"Origin": origin, "Access-Control-Request-Headers": names}
    async with client.options(f"{served.url}/v1/t", headers=asks) as answer:
        assert answer.status == 204
        assert answer.headers.getall("Access-Control-Allow-Origin") == [origin]
        assert answer.headers["Access-Control-Allow-Headers"] == names
        assert "POST" in answer.headers["Access-Control-Allow-Methods"].split(", ")
        assert answer.headers["Access-Control-Max-Age"] == "600"
        assert {"Origin", "Access-Control-Request-Headers"} <= set(answer.headers["Vary"].split(", "))
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert await answer.read() == b""


async def test_preflight_allows_the_method_it_is_asked_for(client: ClientSession, serve: Serve) -> None:
    """The call itself is then refused in a way that the page can read."""
    served = await serve()
    asks = ASKS | {"Access-Control-Request-Method": "PUT"}
    async with client.options(f"{served.url}/v1/t", headers=asks) as answer:
        assert {"PUT", "POST", "GET"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    async with client.put(f"{served.url}/v1/t", headers={"Origin": SHOP}) as answer:
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (405, SHOP)


async def test_preflight_of_a_private_network_is_allowed_when_it_asks(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    for more, expected in (({}, None), ({"Access-Control-Request-Private-Network": "true"}, "true")):
        async with client.options(f"{served.url}/v1/t", headers=ASKS | more) as answer:
            assert answer.headers.get("Access-Control-Allow-Private-Network") == expected


@pytest.mark.parametrize("names", ["a b", "x" * 5_000, "a,b,(c)", "a;b", ",", ""])
async def test_preflight_that_asks_for_no_header_names_gets_the_usual_ones(
    client: ClientSession, serve: Serve, names: str
) -> None:
    served = await serve()
    async with client.options(f"{served.url}/v1/t", headers=ASKS | {"Access-Control-Request-Headers": names}) as answer:
        assert answer.status == 204
        assert {"authorization", "content-type"} <= set(answer.headers["Access-Control-Allow-Headers"].split(", "))
        assert "(c)" not in answer.headers["Access-Control-Allow-Headers"]


async def test_preflight_is_allowed_whoever_asks_so_that_the_refusal_can_be_read(
    client: ClientSession, serve: Serve
) -> None:
    """A refused preflight is a network error to the page: its SDK would repeat the call for hours."""
    served = await serve(directory_of(only("https://other.example")))
    for is_loaded, status in ((True, 403), (False, 503)):
        served.collector.is_loaded = is_loaded
        async with client.options(f"{served.url}/v1/t", headers=ASKS) as answer:
            assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, SHOP)
        found, _, headers = await post(client, served, "/v1/t", EVENT, BASIC | {"Origin": SHOP})
        assert (found, headers["Access-Control-Allow-Origin"]) == (status, SHOP)


READABLE = [
    ("POST", "/v1/t", b"{", BASIC, 400),
    ("POST", "/v1/t", b"x" * 600_000, BASIC, 400),
    ("POST", "/v1/t", b"{}", {}, 401),
    ("POST", "/v1/t", b"{}", {"X-Write-Key": "unknown"}, 401),
    ("POST", "/v1/nothing", b"{}", BASIC, 404),
    ("GET", "/nothing", None, {}, 404),
    ("DELETE", "/v1/t", None, BASIC, 405),
    ("GET", f"/v1/projects/{WRITE_KEY}/settings", None, {}, 200),
    ("GET", "/v1/projects/unknown/settings", None, {}, 401),
    ("GET", f"/pixel/v1/track?writeKey={WRITE_KEY}&userId=u&event=E", None, {}, 200),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "status"), READABLE)
async def test_a_page_can_read_every_answer(
    client: ClientSession,
    serve: Serve,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    status: int,
) -> None:
    served = await serve()
    async with client.request(method, f"{served.url}{path}", data=body, headers=headers | {"Origin": SHOP}) as answer:
        assert answer.status == status
        assert answer.headers.getall("Access-Control-Allow-Origin") == [SHOP]
        assert answer.headers.getall("Vary") == ["Origin"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_page_can_read_that_the_collector_failed(
    client: ClientSession, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = await serve()
    monkeypatch.setattr(served.publisher, "publish", None)
    status, _, headers = await post(client, served, "/v1/t", EVENT, BASIC | {"Origin": SHOP})
    assert (status, headers["Access-Control-Allow-Origin"]) == (500, SHOP)


async def test_a_page_can_read_the_answer_and_retry_after(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    for is_loaded, expected in ((True, 200), (False, 503)):
        served.collector.is_loaded = is_loaded
        status, _, headers = await post(client, served, "/v1/t", EVENT, BASIC | {"Origin": SHOP})
        assert status == expected
        assert headers["Access-Control-Allow-Origin"] == SHOP
        assert "Retry-After" in headers["Access-Control-Expose-Headers"].split(", ")
        assert headers["Vary"] == "Origin"


async def test_an_event_from_a_page_that_is_not_allowed_is_refused_readably_and_not_stored(
    client: ClientSession, serve: Serve
) -> None:
    served = await serve(directory_of(only(SHOP)))
    evil = "https://evil.example"
    status, body, headers = await post(client, served, "/v1/t", EVENT, BASIC | {"Origin": evil})
    assert (status, body["code"]) == (403, "origin_not_allowed")
    assert headers["Access-Control-Allow-Origin"] == evil
    assert served.publisher.records == []
    assert (await post(client, served, "/v1/t", EVENT, BASIC | {"Origin": SHOP}))[0] == 200


@pytest.mark.parametrize("path", ["/v1/t", "/v1/batch"])
async def test_an_event_from_a_page_that_is_not_allowed_is_not_stored_by_the_key_of_the_body(
    client: ClientSession, serve: Serve, path: str
) -> None:
    served = await serve(directory_of(only(SHOP)))
    body = EVENT | {"batch": [EVENT], "writeKey": WRITE_KEY}
    status, answer, _ = await post(client, served, path, body, {"Origin": "https://evil.example"})
    assert (status, answer["code"]) == (403, "origin_not_allowed")
    assert served.publisher.records == []
    assert (await post(client, served, path, body, {"Origin": SHOP}))[0] == 200


async def test_answers_to_requests_without_an_origin_are_not_given_to_pages_by_caches(
    client: ClientSession, serve: Serve
) -> None:
    served = await serve()
    async with client.get(f"{served.url}/v1/projects/{WRITE_KEY}/settings") as answer:
        assert answer.headers.getall("Vary") == ["Origin"]
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_an_origin_longer_than_any_is_answered_and_neither_echoed_nor_kept(
    client: ClientSession, serve: Serve
) -> None:
    served = await serve()
    kept = cors._origin_headers.cache_info().currsize
    _, _, headers = await post(client, served, "/v1/t", EVENT, BASIC | {"Origin": "https://" + "x" * 5_000})
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert cors._origin_headers.cache_info().currsize == kept


async def test_servers_send_no_origin_and_are_not_asked_for_one(client: ClientSession, serve: Serve) -> None:
    served = await serve(directory_of(only(SHOP)))
    status, _, headers = await post(client, served, "/v1/t", EVENT)
    assert status == 200
    assert "Access-Control-Allow-Origin" not in headers
