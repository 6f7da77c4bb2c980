"""What a context knows of its device, and kinds of devices, libraries and apps that user agents name."""

from typing import Any

import pytest

from streams.events.lookups import CachedLookup, robots, user_agents
from streams.events.lookups.urls import parse_url
from tests.streams.events.conftest import EnrichOne
from tests.streams.events.oracle import Sources

CHROME = "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0{mobile} Safari/537.36"
WINDOWS = CHROME.format(system="Windows NT 10.0; Win64; x64", mobile="")
ANDROID = CHROME.format(system="Linux; Android 10; K", mobile=" Mobile")
MAC = CHROME.format(system="Macintosh; Intel Mac OS X 10_15_7", mobile="")


def device(enrich_one: EnrichOne, user_agent: str, **context: Any) -> tuple[str, str, str]:
    """(os_name, os_version, device_type)"""
    enriched = enrich_one(user_agent=user_agent, context=context)
    return enriched["os_name"], enriched["os_version"], enriched["device_type"]


@pytest.mark.parametrize("agent", ["", "analytics-ios/4.1.8", "Dart/3.2 (dart:io)", "okhttp/4.12.0", "Shop/7"])
@pytest.mark.parametrize(
    ("system", "told", "expected"),
    [
        (("iOS", "17.2"), {"model": "iPhone14,5", "type": "ios", "name": "iPhone"}, ("iOS", "17.2", "mobile")),
        (("iPadOS", "17.2"), {"model": "iPad13,4", "type": "ios", "name": "iPad"}, ("iOS", "17.2", "tablet")),
        (("iOS", "16.0"), {"model": "iPad13,4"}, ("iOS", "16", "tablet")),
        (("Android", "14"), {"model": "Pixel 7", "type": "android"}, ("Android", "14", "mobile")),
        (("Android", "13"), {"model": "SM-X710", "type": "android"}, ("Android", "13", "tablet")),
        (("Android", "12"), {"model": "BRAVIA 4K UR3", "type": "android"}, ("Android", "12", "")),
        (("Android", "11"), {"model": "MIBOX4"}, ("Android", "11", "")),
        (("Android", "9"), {"type": "tablet"}, ("Android", "9", "tablet")),
        (("tvOS", "17.1"), {"model": "AppleTV14,1", "type": "tvos"}, ("tvOS", "17.1", "")),
        (("watchOS", "10.1"), {"type": "watch"}, ("watchOS", "10.1", "")),
        (("macOS", "14.5"), {"type": "desktop"}, ("Mac OS X", "14.5", "desktop")),
        (("Windows", "11"), {}, ("Windows", "11", "desktop")),
        (("android", "14"), {}, ("Android", "14", "mobile")),
    ],
)
def test_where_no_system_is_named_the_context_names_it(
    enrich_one: EnrichOne, agent: str, system: tuple[str, str], told: dict[str, str], expected: tuple[str, str, str]
) -> None:
    name, version = system
    assert device(enrich_one, agent, os={"name": name, "version": version}, device=told) == expected


@pytest.mark.parametrize(
    ("agent", "data", "expected"),
    [
        (WINDOWS, {"platform": "Windows", "platformVersion": "15.0.0"}, ("Windows", "11", "desktop")),
        (WINDOWS, {"platform": "Windows", "platformVersion": "13.0.0"}, ("Windows", "11", "desktop")),
        (WINDOWS, {"platform": "Windows", "platformVersion": "10.0.0"}, ("Windows", "10", "desktop")),
        (WINDOWS, {"platform": "Windows", "platformVersion": "0.3.0"}, ("Windows", "8.1", "desktop")),
        (WINDOWS, {"platform": "Windows", "mobile": False}, ("Windows", "10", "desktop")),
        (WINDOWS, {"platform": "Windows", "platformVersion": "?"}, ("Windows", "10", "desktop")),
        (WINDOWS, {"platform": "Android", "platformVersion": "14.0.0"}, ("Windows", "10", "desktop")),
        (ANDROID, {"platform": "Android", "platformVersion": "14.0.0", "mobile": True}, ("Android", "14", "mobile")),
        (
            ANDROID,
            {"platform": "Android", "platformVersion": "14.0.0", "model": "SM-X710"},
            ("Android", "14", "tablet"),
        ),
        (MAC, {"platform": "macOS", "platformVersion": "14.5.0"}, ("Mac OS X", "14.5", "desktop")),
        ("", {"platform": "Android", "platformVersion": "13.0.0", "mobile": True}, ("Android", "13", "mobile")),
        ("", {"platform": "Android", "mobile": False}, ("Android", "", "tablet")),
        ("", {"platform": "Windows", "mobile": False}, ("Windows", "", "desktop")),
    ],
)
def test_a_browser_s_data_knows_the_version_that_its_user_agent_froze(
    enrich_one: EnrichOne, agent: str, data: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert device(enrich_one, agent, userAgentData=data) == expected


def test_a_system_that_contradicts_the_browser_s_is_not_believed(enrich_one: EnrichOne) -> None:
    assert device(enrich_one, WINDOWS, os={"name": "Android", "version": "14"}) == ("Windows", "10", "desktop")


@pytest.mark.parametrize("wrong", [[], 7, "x", None, {"name": 7, "version": [], "mobile": "yes", "type": {}}])
def test_members_of_other_types_say_nothing(enrich_one: EnrichOne, wrong: object) -> None:
    assert device(enrich_one, WINDOWS, os=wrong, device=wrong, userAgentData=wrong) == ("Windows", "10", "desktop")
    assert device(enrich_one, "", os=wrong, device=wrong, userAgentData=wrong) == ("", "", "")


DALVIK = "Dalvik/2.1.0 (Linux; U; Android 9; {} Build/PI)"
WEBVIEW = "Mozilla/5.0 (Linux; Android 9; {} Build/PI; wv) AppleWebKit/537.36 Version/4.0 Chrome/90.0 {}Safari/537.36"


@pytest.mark.parametrize(
    "model",
    [
        *("AQUOS-TVX19A", "AQUOS-TVE20A", "Kogan SmarterTV", "Telia box", "MIBOX4", "MIBOX3", "MiTV-AXSO0", "MiTV4"),
        *("SHIELD Android TV", "BRAVIA 4K UR3", "Smart TV", "TV BOX", "H96 Max TVBox", "Chromecast", "AFTMM"),
        *("Mi Box S", "Android TV on Hisense", "STB-4K", "Set-Top Box", "IPTV 4K", "Philips 2019 ATV", "Fire TV Stick"),
    ],
)
def test_televisions_and_their_boxes_are_none_of_the_three(sources: Sources, model: str) -> None:
    for text in (DALVIK.format(model), WEBVIEW.format(model, ""), WEBVIEW.format(model, "Mobile ")):
        assert sources.user_agent(text).device_type == ""


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        *(
            ("Pixel 7", "mobile"),
            ("HTV31", "mobile"),
            ("HTV33", "mobile"),
            ("SM-G991B", "mobile"),
            ("CPH2211", "mobile"),
        ),
        *(("M2101K6G", "mobile"), ("LM-V405", "mobile"), ("moto g(7)", "mobile"), ("TECNO KG5j", "mobile")),
        *(
            ("SM-T510", "tablet"),
            ("Lenovo TB-X606F", "tablet"),
            ("BTV-W09", "tablet"),
            ("AGS2-W09", "tablet"),
            ("BAH3-L09", "tablet"),
        ),
        *(("Xiaomi Pad 5", "tablet"), ("Lenovo Tab M10", "tablet"), ("MediaPad T5", "tablet"), ("KFMAWI", "tablet")),
    ],
)
def test_an_android_without_a_browser_is_what_its_model_says(sources: Sources, model: str, kind: str) -> None:
    assert sources.user_agent(DALVIK.format(model)).device_type == kind


@pytest.mark.parametrize(
    "agent",
    [
        *("Python-urllib/3.11", "libwww-perl/6.72", "Ruby", "Go-http-client/2.0", "okhttp/4.12.0", "-", "Java/17.0.1"),
        *("Apache-HttpClient/4.5", "Dart/3.2 (dart:io)", "axios/1.7", "node", "undici", "node-fetch/1.0", "curl/8.5"),
        *(
            "Faraday v2.7.11",
            "GuzzleHttp/7",
            "PHP/8.2.1",
            "Symfony HttpClient/Curl",
            "python-httpx/0.27",
            "reqwest/0.11",
        ),
        *(
            "PostmanRuntime/7.36",
            "insomnia/8",
            "RestSharp/110",
            "WinHttp",
            "Deno/1.38",
            "Python",
            "perl",
            "Mozilla/5.0",
        ),
        *("null", "undefined", "(null)", "unknown", "Wget/1.21", "http.rb/5.1", "rest-client/2.1", "lwp-request/6.67"),
    ],
)
def test_a_browser_s_event_with_a_library_s_user_agent_is_labelled(enrich_one: EnrichOne, agent: str) -> None:
    enriched = enrich_one(user_agent=agent, context={"library": {"name": "analytics.js"}})
    assert (enriched["bot_reason"], enriched["device_type"]) == ("http_library", "")
    assert enrich_one(user_agent=agent, context={"library": {"name": "analytics-ruby"}})["bot_reason"] == ""


@pytest.mark.parametrize(
    "agent", ["Rubygem Browser", "Gopher/1 Mozilla/5.0 (X11)", "Nodebox/2", "Shop/2.0 (iPhone; iOS 17.2)"]
)
def test_a_name_that_begins_like_a_library_s_is_none(sources: Sources, agent: str) -> None:
    assert sources.robot(agent).value == ""


IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 {}"
)
PIXEL = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 7 Build/UQ1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
    "Chrome/120.0.0.0 Mobile Safari/537.36 {}"
)


@pytest.mark.parametrize("browser", [IPHONE, PIXEL])
@pytest.mark.parametrize(
    ("app", "name", "version"),
    [
        ("Instagram 310.0.0.0", "Instagram", "310.0.0"),
        ("[FBAN/FBIOS;FBAV/440.0.0.0]", "Facebook", "440.0.0"),
        ("TikTok 32.1.0", "TikTok", "32.1.0"),
        ("musical_ly_32.1.0 JsSdk/2.0", "TikTok", "32.1.0"),
        ("MicroMessenger/8.0.44(0x18)", "WeChat", "8.0.44"),
        ("Safari Line/13.20.0", "LINE", "13.20.0"),
        ("Snapchat/12.60", "Snapchat", "12.60"),
        ("[LinkedInApp]/9.29", "LinkedIn", "9.29"),
        ("GSA/290.0", "Google", "290.0"),
        ("KAKAOTALK 10.4.5", "KakaoTalk", "10.4.5"),
        ("Telegram-Android/10.3", "Telegram", "10.3"),
    ],
)
def test_a_browser_in_an_app_is_named_after_the_app(
    sources: Sources, browser: str, app: str, name: str, version: str
) -> None:
    agent = sources.user_agent(browser.format(app))
    assert agent.browser_name.startswith(name)
    assert (agent.browser_version, agent.device_type) == (version, "mobile")


def test_no_cache_changes_an_answer_however_long_the_text(sources: Sources) -> None:
    tail = "&utm_source=partner&utm_medium=affiliate&utm_campaign=autumn"
    url = f"https://shop.example/welcome?state={'abcdefghij' * 210}{tail}"
    assert CachedLookup("urls", parse_url, 10, 2_048)([url])[0].utm_campaign == "autumn"
    agent = WINDOWS.replace("Windows NT", f"{'x; ' * 500}Windows NT")
    assert CachedLookup("user_agents", sources.user_agent, 10, 1_000)([agent])[0].os_name == "Windows"
    robot = CachedLookup("robots", robots.classifier(robots.builtin_signatures()), 10, 1_000)
    assert robot([f"{'x' * 1_200} Googlebot/2.1"])[0].value == "user_agent"
    assert user_agents.parser()(agent) == sources.user_agent(agent)
