"""How the dashboards' JSON is written: what fits stands on one line. `python -m tests.dashboards.tidy` writes it so.

Grafana's own export takes 2,700 lines for what is read here in a thousand.
"""

import json
from pathlib import Path
from typing import Any

from docker.local import PROJECT_ROOT

DASHBOARDS = PROJECT_ROOT / "docker" / "grafana" / "dashboards"
LINE_CHARS_MAX = 120


def tidy(value: Any) -> str:
    """The JSON text, with a newline at its end."""
    return _text(value, 0) + "\n"


def _text(value: Any, depth: int) -> str:
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or (depth and len(line) + 2 * depth <= LINE_CHARS_MAX):
        return line
    inner = "  " * (depth + 1)
    if isinstance(value, dict):
        parts = [f"{inner}{json.dumps(key)}: {_text(item, depth + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(parts) + "\n" + "  " * depth + "}"
    parts = [f"{inner}{_text(item, depth + 1)}" for item in value]
    return "[\n" + ",\n".join(parts) + "\n" + "  " * depth + "]"


def main() -> None:
    """Rewrite every dashboard."""
    for path in sorted(Path(DASHBOARDS).glob("*.json")):
        path.write_text(tidy(json.loads(path.read_text())))


if __name__ == "__main__":
    main()
