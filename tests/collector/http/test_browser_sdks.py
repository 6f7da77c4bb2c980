"""Scripts of browser SDKs: what Segment's snippet and Jitsu's script tag load."""

import gzip
from pathlib import Path

import pytest
from aiohttp import ClientSession

from collector.http.browser_sdks import BrowserSdks, NoSdksError
from collector.http.public_url import PublicUrl
from docker.local.packages import fetch
from tests.collector.conftest import Serve
from tests.collector.made import WRITE_KEY

STANDALONE = b'var k="__WRITE_KEY__",c="https://cdn.segment.com",b="https://cdn.segment.com/b/",a="api.segment.io/v1";'
BUNDLE = "407.bundle.61efa1acb302134c434b.js"
SNIPPET = f"/analytics.js/v1/{WRITE_KEY}/analytics.min.js"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A node_modules folder as npm leaves it."""
    umd = tmp_path / "@segment/analytics-next/dist/umd"
    umd.mkdir(parents=True)
    (umd / "standalone.js").write_bytes(STANDALONE)
    (umd / BUNDLE).write_bytes(b"bundle();" * 100)
    (umd / "index.js").write_bytes(b"index")
    jitsu = tmp_path / "@jitsu/js/dist/web"
    jitsu.mkdir(parents=True)
    (jitsu / "p.js.txt").write_bytes(b"jitsu();")
    (tmp_path / "secret.js").write_bytes(b"secret")
    return tmp_path


async def test_the_snippets_script_sends_and_loads_where_it_came_from(
    client: ClientSession, serve: Serve, folder: Path
) -> None:
    served = await serve(collector_browser_sdks_path=str(folder), collector_trusted_proxies="127.0.0.1")
    headers = {"X-Forwarded-Proto": "https", "Host": "t.shop.example"}
    async with client.get(f"{served.url}{SNIPPET}", headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert "private" in answer.headers["Cache-Control"]
        script = await answer.read()
    own = b"https://t.shop.example"
    assert script == (b'var k="%s",c="%s",b="%s/b/",a="t.shop.example/v1";' % (WRITE_KEY.encode(), own, own))


async def test_no_vendor_stands_in_the_script_of_an_operator_with_one_address(
    client: ClientSession, serve: Serve, folder: Path
) -> None:
    served = await serve(collector_browser_sdks_path=str(folder), collector_public_url="https://t.shop.example")
    texts = []
    for accepted in ("gzip, br", "identity"):
        async with client.get(f"{served.url}{SNIPPET}", headers={"Accept-Encoding": accepted}) as answer:
            assert answer.headers.get("Content-Encoding") == ("gzip" if "gzip" in accepted else None)
            assert "public" in answer.headers["Cache-Control"]
            assert answer.headers["Vary"] == "Origin, Accept-Encoding"
            texts.append(await answer.read())
    assert texts[0] == texts[1]
    assert b"segment.com" not in texts[0]
    assert b"segment.io" not in texts[0]


async def test_bundles_are_kept_for_ever_and_packed(client: ClientSession, serve: Serve, folder: Path) -> None:
    served = await serve(collector_browser_sdks_path=str(folder))
    async with client.get(
        f"{served.url}/analytics-next/bundles/{BUNDLE}", headers={"Accept-Encoding": "gzip"}
    ) as answer:
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Encoding"] == "gzip"
        assert await answer.read() == b"bundle();" * 100
    async with client.get(f"{served.url}/p.js") as answer:
        assert await answer.read() == b"jitsu();"


@pytest.mark.parametrize(
    "name", ["..%2f..%2fsecret.js", "../../../../secret.js", "index.js", "standalone.js", "", "%00"]
)
async def test_nothing_but_bundles_is_served(client: ClientSession, serve: Serve, folder: Path, name: str) -> None:
    served = await serve(collector_browser_sdks_path=str(folder))
    async with client.get(f"{served.url}/analytics-next/bundles/{name}") as answer:
        assert answer.status == 404
        assert b"secret" not in await answer.read()


async def test_the_script_of_an_unknown_key_is_refused(client: ClientSession, serve: Serve, folder: Path) -> None:
    served = await serve(collector_browser_sdks_path=str(folder))
    async with client.get(f"{served.url}/analytics.js/v1/unknown/analytics.min.js") as answer:
        assert answer.status == 401


def test_a_key_cannot_end_the_text_it_stands_in(folder: Path) -> None:
    key = "a\"'`${x}</script>\\"
    script = BrowserSdks(str(folder))._analytics_js(key, PublicUrl("https", "h"))
    assert script.startswith(b'var k="a\\"\\u0027\\u0060\\u0024{x}\\u003c/script>\\\\",')


async def test_without_the_packages_the_answer_says_what_to_do(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    for path in (SNIPPET, f"/analytics-next/bundles/{BUNDLE}", "/p.js"):
        async with client.get(f"{served.url}{path}") as answer:
            body = await answer.json()
            assert (answer.status, body["code"]) == (404, "not_found")
            assert "TALLY_COLLECTOR_BROWSER_SDKS_PATH" in body["message"]


def test_a_folder_without_them_is_a_bad_setting(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(NoSdksError, match=r"standalone\.js"):
        BrowserSdks(str(tmp_path / "nothing"))
    (folder / "@segment/analytics-next/dist/umd/standalone.js").write_bytes(b"another script")
    with pytest.raises(NoSdksError, match="not the script it was"):
        BrowserSdks(str(folder))


def test_the_packages_that_are_pinned_are_what_is_served() -> None:
    sdks = BrowserSdks(str(fetch("browser-sdks") / "node_modules"))
    found = PublicUrl("https", "t.shop.example", is_fixed=True)
    script = sdks._analytics_js(WRITE_KEY, found)
    assert WRITE_KEY.encode() in script
    for vendor in (b"cdn.segment.com", b"api.segment.io", b"__WRITE_KEY__"):
        assert vendor not in script
    assert b'"https://t.shop.example/analytics-next/bundles/"' in script
    assert gzip.decompress(sdks.analytics_js(WRITE_KEY, found, True)._tail[2:]) == script
    assert len(sdks._bundles) >= 5
    sdks.jitsu_js(False)
