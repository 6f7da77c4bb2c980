"""User agent text → robot or not, and why."""

import json
from pathlib import Path

import crawleruseragents
import pytest

from schemas.outcomes import BotReason
from streams.events.lookups import robots
from tests.streams.events.oracle import Sources
from tests.streams.events.people import people


@pytest.mark.integration  # a package of data
def test_no_browser_of_people_is_a_robot(sources: Sources) -> None:
    assert {text for text, _ in people() if sources.robot(text) is not BotReason.NONE} == set()


def test_the_robots_of_the_list_are_found_but_for_those_people_use(sources: Sources) -> None:
    dropped = {pattern for pattern, left in robots._NARROWED.items() if left is None}
    entries = [entry for entry in crawleruseragents.CRAWLER_USER_AGENTS_DATA if entry["pattern"] not in dropped]
    instances = {text for entry in entries for text in entry.get("instances", [])}
    assert len(instances) > 2_000
    assert {text for text in instances if sources.robot(text) is BotReason.NONE} == set()


def test_every_exception_to_the_list_is_still_in_the_list() -> None:
    listed = {entry["pattern"] for entry in crawleruseragents.CRAWLER_USER_AGENTS_DATA}
    assert robots._NARROWED.keys() | robots._SENDERS <= listed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", ""),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "user_agent"),
        ("NeverHeardOf/1.0 (+https://neverheardof.example/about)", "user_agent"),
        ("SomeNewCrawler 3", "user_agent"),
        ("Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)", "user_agent"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/141.0.0.0 Safari/537.36", "headless"),
        ("Mozilla/5.0 AppleWebKit/537.36 HeadlessChrome/141.0 (compatible; Googlebot/2.1)", "headless"),
        ("curl/8.5.0", "http_library"),
        ("python-requests/2.32.3", "http_library"),
        ("node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", "http_library"),
        ("WordPress/6.8; https://blog.example", "http_library"),
        ("AhrefsBot/7.0 (python-requests/2.32)", "user_agent"),
        ("AcmeBot/1.0 (python-requests/2.32)", "http_library"),
        ("analytics-python/2.3.4", ""),
        ("Mozilla/5.0 (Linux; Android 10; CUBOT NOTE 20) AppleWebKit/537.36 Chrome/141.0 Mobile Safari/537.36", ""),
        ("Mozilla/5.0 (Linux; Android 7.0; M bot 60 Build/NRD90M; wv) Chrome/141.0 Mobile Safari/537.36", ""),
        ("Mozilla/5.0 (Linux; Android 15; CPH2557 Build/AP3A.240617.008; wv) Chrome/142.0 Mobile Safari/537.36", ""),
        ("Mozilla/5.0 (Linux; Android 6.0.1; HTC Butterfly 2 Build/MMB29M) Chrome/54.0 Mobile Safari/537.36", ""),
        ("Mozilla/5.0 (Linux; U; Android 5.1; zh-cn) AppleWebKit/534.30 Safari/534.30 SogouMSE,SogouMobileBrowser", ""),
        ("Opera/9.80 (MAUI Runtime; Opera Mini/4.4.39008/61.445; U; hi) Presto/2.12.423 Version/12.16", ""),
    ],
)
def test_a_user_agent_is_classified_by_what_it_calls_itself(sources: Sources, text: str, reason: str) -> None:
    assert sources.robot(text) == reason


def test_a_list_of_ones_own_replaces_the_built_in_one(tmp_path: Path) -> None:
    path = tmp_path / "robots.json"
    path.write_text(json.dumps([{"pattern": "^acme"}, {"pattern": "acme-lib", "tags": ["http-library"]}]))
    classify = robots.classifier(robots.read_signatures(path))
    found = [classify(text) for text in ("acme-lib/1", "x acme-lib/1", "Googlebot/2.1")]
    assert found == [BotReason.USER_AGENT, BotReason.HTTP_LIBRARY, BotReason.NONE]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "not readable as JSON"),
        ("{}", "not a JSON list"),
        ('[{"pattern": "a"}, {"url": "b"}]', "entry 1: no pattern"),
        ('[{"pattern": ""}]', "entry 0: no pattern"),
        ('[{"pattern": "a", "tags": "x"}]', "entry 0: tags"),
    ],
)
def test_a_list_that_is_none_is_refused_with_its_problem(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "robots.json"
    path.write_text(content)
    with pytest.raises(robots.SignaturesError, match=problem):
        robots.read_signatures(path)


def test_a_pattern_that_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(robots.SignaturesError, match="unclosed group"):
        robots.classifier([{"pattern": "("}])
