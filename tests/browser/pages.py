"""Pages with an SDK on them, as the README tells people to write them."""

import json
import re
from functools import cache
from typing import Final

from docker.local import PROJECT_ROOT

# What a bundler does with the imports of a page: the packages' own files, unchanged.
SDK_FILES: Final = {
    "/bundled/segment.js": "export const { AnalyticsBrowser } = window.AnalyticsNext",
}
_IMPORTS: Final = {
    "@jitsu/js": "/sdks/@jitsu/js/dist/jitsu.es.js",
    "@rudderstack/analytics-js/bundled": "/sdks/@rudderstack/analytics-js/dist/npm/modern/bundled/esm/index.mjs",
    "@segment/analytics-next": "/bundled/segment.js",
}
_HEAD: Final = f"""<!doctype html><title>Shop</title><link rel="icon" href="data:,">
<script type="importmap">{json.dumps({"imports": _IMPORTS})}</script>
"""
_SEGMENT_UMD: Final = '<script src="/sdks/@segment/analytics-next/dist/umd/index.js"></script>\n'
_README_HOST: Final = "http://127.0.0.1:8080"
_README_KEY: Final = "demo-write-key"


@cache
def snippet(title: str) -> str:
    """The code under `### title` in the collector's README."""
    readme = (PROJECT_ROOT / "collector" / "README.md").read_text()
    found = re.search(rf"^### {re.escape(title)}\n.*?^```\w+\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert found, f"collector/README.md has no code under {title!r}"
    return found[1]


def pasted(title: str, url: str, write_key: str) -> str:
    """A page with a snippet of the README in it, nothing changed but host and key."""
    code = snippet(title)
    assert _README_HOST in code
    assert _README_KEY in code
    code = code.replace(_README_HOST, url).replace(_README_KEY, write_key)
    return page(code) if code.startswith("<") else module(code)


def module(code: str) -> str:
    """A page with a module of JavaScript; what the module calls `analytics` is window.analytics."""
    head = _SEGMENT_UMD if "@segment/analytics-next" in code else ""
    return page(f'{head}<script type="module">\n{code}\nwindow.analytics = analytics\n</script>')


def page(body: str) -> str:
    """A whole page."""
    return f"{_HEAD}{body}\n"
