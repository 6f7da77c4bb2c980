"""User agent text → device type, operating system, browser."""

from collections import Counter

import pytest
import ua_parser

from streams.events.lookups import user_agents
from tests.streams.events.oracle import Sources
from tests.streams.events.people import people

ANDROID = "Mozilla/5.0 (Linux; Android {system}) AppleWebKit/537.36 Chrome/141.0.0.0{mobile} Safari/537.36"


@pytest.mark.integration  # a package of data
def test_device_types_agree_with_the_labels_of_real_browsers(sources: Sources) -> None:
    # All 10,000 agreed when this was written; the labels were made from more than the text, so leave them room.
    labelled = people()
    agreed = Counter(label for text, label in labelled if sources.user_agent(text).device_type == label)
    total = Counter(label for _, label in labelled)
    assert set(total) == {"desktop", "mobile", "tablet"}
    assert {label: agreed[label] / total[label] >= 0.99 for label in total} == dict.fromkeys(total, True)


@pytest.mark.integration  # a package of data
def test_system_and_browser_of_real_browsers_are_known(sources: Sources) -> None:
    parsed = [sources.user_agent(text) for text, _ in people()]
    assert sum(1 for agent in parsed if agent.os_name and agent.browser_name) >= 0.99 * len(parsed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("", "", "", "", "")),
        ("\x00", ("", "", "", "", "")),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/26.0.1 Mobile/15E148 Safari/604.1",
            ("mobile", "iOS", "18.7", "Mobile Safari", "26.0.1"),
        ),
        (
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            ("desktop", "Ubuntu", "", "Firefox", "140.0"),
        ),
    ],
)
def test_families_and_versions_are_those_of_ua_parser(sources: Sources, text: str, expected: tuple[str, ...]) -> None:
    assert sources.user_agent(text) == expected


@pytest.mark.parametrize(
    ("text", "device_type"),
    [
        (ANDROID.format(system="15; Pixel 9", mobile=" Mobile"), "mobile"),
        (ANDROID.format(system="13; TB-X606F", mobile=""), "tablet"),
        (ANDROID.format(system="14; SM-X710", mobile=" Mobile"), "tablet"),
        (ANDROID.format(system="11; KFTUWI", mobile=""), "tablet"),
        (ANDROID.format(system="12; BRAVIA 4K UR3", mobile=""), ""),
        ("Mozilla/5.0 (Android 14; Tablet; rv:141.0) Gecko/141.0 Firefox/141.0", "tablet"),
        ("Mozilla/5.0 (Android 14; Mobile; rv:141.0) Gecko/141.0 Firefox/141.0", "mobile"),
        ("Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1", "tablet"),
        ("Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/AP2A.240805.005)", "mobile"),
        ("Example/3.1 CFNetwork/1494.0.7 Darwin/23.4.0", "mobile"),
        ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Tablet PC 2.0)", "desktop"),
        ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36", "desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) AppleWebKit/537.36 Edge/44.18363", ""),
        ("Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 Chrome/94.0.4606.128 Safari/537.36", ""),
        ("Mozilla/5.0 (PlayStation 5 8.20) AppleWebKit/605.1.15 (KHTML, like Gecko)", ""),
        ("Opera/9.80 (J2ME/MIDP; Opera Mini/7.1.32052/29.3709; U; en) Presto/2.8.119 Version/11.10", "mobile"),
        ("analytics-python/2.3.4", ""),
        ("curl/8.5.0", ""),
    ],
)
def test_a_device_is_what_its_user_agent_says(sources: Sources, text: str, device_type: str) -> None:
    assert sources.user_agent(text).device_type == device_type


def test_a_parser_without_the_rust_core_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ua_parser, "RegexResolver", None)
    with pytest.raises(RuntimeError, match="ua-parser-rs"):
        user_agents.parser()
