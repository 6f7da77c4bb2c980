"""Whose address an event gets."""

from typing import Any

import pytest

from tests.collector.made import admit_all, admit_one, batch, track

REQUEST = "203.0.113.7"
VISITOR = "198.51.100.9"
BROWSER = {"name": "analytics.js", "version": "next-1.84.3"}


def address(context: Any = None, *, ip_address: str = REQUEST, ip_policy: str | None = None, **members: Any) -> str:
    sent = track(context=context or {}) | members
    (event,) = admit_one(sent, ip_address=ip_address, ip_policy=ip_policy).admitted
    return event.ip_address


@pytest.mark.parametrize(
    "ip", ["not an address", "unknown", 7, {"v4": VISITOR}, ["x"], [7], "1.2.3", "999.1.1.1", False]
)
@pytest.mark.parametrize("library", [BROWSER, {"name": "analytics-node"}, None])
def test_an_address_that_cannot_be_read_is_unknown_and_never_the_request_s(ip: object, library: object) -> None:
    assert address({"ip": ip, "library": library}) == ""


@pytest.mark.parametrize("ip", ["", " ", None, [], {}])
def test_an_empty_address_is_none_at_all(ip: object) -> None:
    assert address({"ip": ip, "library": BROWSER}) == REQUEST
    assert address({"ip": ip, "library": {"name": "analytics-node"}}) == ""


@pytest.mark.parametrize("ip", [VISITOR, [VISITOR], [VISITOR, "10.0.0.1"]])
def test_the_address_of_the_context_goes_before_the_request_s(ip: object) -> None:
    assert address({"ip": ip, "library": {"name": "analytics-node"}}) == VISITOR


@pytest.mark.parametrize(
    "name",
    [
        *("analytics-python", "analytics-node", "analytics-node-next", "@segment/analytics-node", "analytics-ruby"),
        *("analytics-php", "analytics-go", "analytics-java", "Analytics.NET", "analytics-rust", "rudder-sdk-node"),
        *("rudder-analytics-python", "@rudderstack/rudder-sdk-node", "my_python_tracker", "acme-server-events"),
    ],
)
def test_a_server_s_library_has_no_address_and_with_direct_that_of_the_request(name: str) -> None:
    page = {"url": "https://shop.example/"}
    assert address({"library": {"name": name, "version": "1"}}) == ""
    assert address({"library": {"name": name}, "page": page, "userAgent": "Mozilla/5.0"}) == ""
    assert address({"library": {"name": name}, "direct": True}) == REQUEST
    assert address({"library": {"name": name}, "direct": False}) == ""


@pytest.mark.parametrize(
    "name",
    [
        *("analytics.js", "RudderLabs JavaScript SDK", "tally.js", "@jitsu/js", "analytics-ios", "analytics-android"),
        *("analytics-swift", "analytics-kotlin", "analytics_flutter", "analytics-react-native", "Analytics-CSharp"),
        *("com.rudderstack.android.sdk.core", "rudder-ios-library", "@segment/analytics-react-native", "javascript"),
    ],
)
def test_a_device_s_library_has_the_address_of_the_request(name: str) -> None:
    assert address({"library": {"name": name}}) == REQUEST


def test_the_channel_or_what_a_library_runs_in_says_that_it_is_a_server_s() -> None:
    assert address({"library": BROWSER}, channel="server") == ""
    assert address({"library": BROWSER}, channel="web") == REQUEST
    assert address({"library": {"name": "@jitsu/js", "env": "node"}}) == ""
    assert address({"library": {"name": "@jitsu/js", "env": "browser"}}) == REQUEST


@pytest.mark.parametrize(
    "told",
    [
        *({"userAgent": "Mozilla/5.0"}, {"page": {"url": "https://shop.example/"}}, {"screen": {"width": 390}}),
        *({"device": {"type": "ios"}}, {"os": {"name": "iOS"}}, {"app": {"name": "Shop"}}),
    ],
)
def test_a_library_that_nobody_knows_is_a_device_s_when_it_tells_of_one(told: dict[str, Any]) -> None:
    assert address({"library": {"name": "acme-events"}} | told) == REQUEST
    assert address({"library": {"name": "acme-events"}} | dict.fromkeys(told, None)) == ""


def test_a_call_by_hand_has_the_address_of_the_request() -> None:
    assert address() == REQUEST
    assert address({"library": None}) == REQUEST
    assert address({"library": {"name": 7}, "ip": None}) == REQUEST


def test_the_library_of_the_batch_counts() -> None:
    (event,) = admit_all(batch(track(), context={"library": {"name": "analytics-ruby"}})).admitted
    assert event.ip_address == ""


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        *(("keep", REQUEST), ("Keep", REQUEST), ("", REQUEST), ("remove", ""), ("REMOVE", ""), ("whatever", "")),
        *(("stripLastOctet", "203.0.113.0"), ("striplastoctet", "203.0.113.0"), ("strip-last-octet", "203.0.113.0")),
    ],
)
def test_jitsu_s_policy_decides_how_much_of_the_address_is_kept(policy: str, kept: str) -> None:
    assert address({"library": {"name": "@jitsu/js"}}, ip_policy=policy) == kept
    assert address({"library": {"name": "@jitsu/js"}, "ip": REQUEST}, ip_policy=policy) == kept


def test_of_an_ipv6_address_the_policy_keeps_the_network() -> None:
    assert address(ip_address="2001:db8:1:2:3:4:5:6", ip_policy="stripLastOctet") == "2001:db8:1::"
    assert address(ip_address="", ip_policy="stripLastOctet") == ""
