"""Which events are labelled as a robot's, given user agent, library and channel."""

import pytest

from tests.streams.events.conftest import EnrichOne

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
HEADLESS = CHROME.replace("Chrome/", "HeadlessChrome/")
REQUESTS = "python-requests/2.32.3"


@pytest.mark.parametrize(
    ("user_agent", "library", "reason"),
    [
        (CHROME, "analytics.js", ""),
        (CHROME, None, ""),
        (GOOGLEBOT, "analytics.js", "user_agent"),
        (GOOGLEBOT, "analytics-python", "user_agent"),
        (HEADLESS, "analytics.js", "headless"),
        (REQUESTS, "analytics.js", "http_library"),
        (REQUESTS, "RudderLabs JavaScript SDK", "http_library"),
        (REQUESTS, "analytics-python", ""),
        (REQUESTS, None, ""),
        ("", "analytics.js", "user_agent_empty"),
        ("", "ANALYTICS.JS", "user_agent_empty"),
        ("", "analytics.js-fork", ""),
        ("", "analytic\u017f.js", ""),
        ("", "analytics-node", ""),
        ("", "rudder-sdk-node", ""),
        ("", "@jitsu/js", ""),
        ("", None, ""),
        ("analytics-python/2.3.4", "analytics-python", ""),
        ("analytics-node-next/latest", "analytics-node-next", ""),
        ("node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", "analytics-node", ""),
        ("axios/1.7.2", "rudder-sdk-node", ""),
        ("okhttp/4.12.0", "analytics-android", ""),
    ],
)
def test_a_robot_on_the_web_is_labelled_with_its_reason(
    enrich_one: EnrichOne, user_agent: str, library: str | None, reason: str
) -> None:
    enriched = enrich_one(user_agent=user_agent, context={"library": {"name": library, "version": "1"}})
    assert (enriched["bot_reason"], enriched["is_bot"]) == (reason, reason != "")


@pytest.mark.parametrize("user_agent", ["", GOOGLEBOT, HEADLESS, REQUESTS, "WhatsApp/2.23.20.0"])
def test_user_agents_of_other_channels_say_nothing_about_people(enrich_one: EnrichOne, user_agent: str) -> None:
    context = {"channel_type": "whatsapp", "library": {"name": "analytics.js"}}
    assert enrich_one(user_agent=user_agent, context=context)["is_bot"] is False
