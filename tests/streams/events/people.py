"""User agents of people's browsers with their kind of device, as the package user-agents collects them."""

import json
from functools import cache

from docker.local.packages import fetch


@cache
def people() -> list[tuple[str, str]]:
    """10,000 pairs of user agent and desktop, mobile or tablet."""
    path = fetch("user-agents") / "node_modules" / "user-agents" / "dist" / "user-agents.json"
    return [(entry["userAgent"], entry["deviceCategory"]) for entry in json.loads(path.read_bytes())]
