"""Events from three clients: segment-analytics-python and @segment/analytics-node, unmodified, and a plain POST."""

import base64
import json
import subprocess
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path

from docker.local.packages import fetch
from docker.local.tools import bare_environ, require_tool

_SCRIPT = Path(__file__).parent / "send_node.cjs"
USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
)


class SendFailedError(RuntimeError):
    """A client did not get its events accepted; the text is what it said."""


@dataclass(frozen=True)
class Sent:
    """What one client got a 200 for: events, of which `repeats` repeat a message id and `bad` cannot be stored."""

    client: str
    events: int
    repeats: int = 0
    bad: int = 0


def send_python(url: str, write_key: str, run: str, visitors: int) -> Sent:
    """Visitors' events through segment-analytics-python. Raises SendFailedError."""
    from segment.analytics.client import Client

    errors: list[str] = []
    client = Client(write_key, host=url, gzip=True, on_error=lambda error, _: errors.append(str(error)), max_retries=3)
    context = {"userAgent": USER_AGENT, "ip": "81.2.69.142", "locale": "en-GB"}
    events = 0
    for visitor in range(visitors):
        ids = {"anonymous_id": f"demo-{run}-python-{visitor}", "context": context}
        page = {"path": "/pricing", "url": "https://shop.example/pricing?utm_source=ads", "title": "Pricing"}
        client.page(name="Pricing", properties=page, **ids)
        for item in range(2):
            client.track(event="Product Added", properties={"sku": f"S-{item}", "quantity": 2**53 + item}, **ids)
        client.identify(user_id=f"user-{run}-python-{visitor}", traits={"plan": "free"}, **ids)
        events += 4
    client.flush()
    client.join()
    if errors:
        raise SendFailedError(f"segment-analytics-python: {errors[0]}")
    return Sent("segment-analytics-python", events)


def send_node(url: str, write_key: str, run: str, visitors: int) -> Sent:
    """Visitors' events through @segment/analytics-node. Raises SendFailedError, MissingToolError."""
    modules = fetch("sdks") / "node_modules"
    done = subprocess.run(
        [str(require_tool("node")), str(_SCRIPT), url, write_key, run, str(visitors)],
        env=bare_environ(NODE_PATH=str(modules)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise SendFailedError(f"@segment/analytics-node: {(done.stderr or done.stdout).strip()}")
    delivered: int = json.loads(done.stdout.splitlines()[-1])["delivered"]
    return Sent("@segment/analytics-node", delivered)


def send_plain(url: str, write_key: str, run: str) -> Sent:
    """One POST as curl would send it: good events, a repeated one, a robot's, and two that cannot be stored."""
    anonymous_id = f"demo-{run}-curl"
    twice = {"type": "track", "event": "Sent Twice", "anonymousId": anonymous_id, "messageId": str(uuid.uuid4())}
    robot = {"userAgent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}
    batch = [
        {
            "type": "page",
            "name": "Docs",
            "anonymousId": anonymous_id,
            "properties": {"url": "https://shop.example/docs"},
        },
        twice,
        twice,
        {"type": "screen", "name": "Start", "anonymousId": anonymous_id},
        {"type": "group", "groupId": "acme", "anonymousId": anonymous_id, "traits": {"seats": 5}},
        {"type": "alias", "previousId": anonymous_id, "userId": f"user-{run}-curl"},
        {"type": "track", "event": "Crawled", "anonymousId": f"{anonymous_id}-robot", "context": robot},
        {"type": "track", "event": 42, "anonymousId": anonymous_id, "messageId": f"demo-{run}-event-not-string"},
        {"type": "track", "event": "Nobody", "messageId": f"demo-{run}-no-id"},
    ]
    request = urllib.request.Request(
        f"{url}/v1/batch",
        json.dumps({"batch": batch}).encode(),
        {
            "Content-Type": "application/json",
            "Authorization": "Basic " + base64.b64encode(f"{write_key}:".encode()).decode(),
        },
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        if json.load(answer) != {"success": True}:
            raise SendFailedError("the plain POST was not accepted")
    return Sent("plain HTTP POST", len(batch), repeats=1, bad=2)
