"""python analytics_python.py URL WRITE_KEY GZIP: the Python SDK before segment-analytics-python."""

import sys
from importlib import import_module

host, write_key, gzip = sys.argv[1:]
failures: list[object] = []
client = import_module("analytics.client").Client(
    write_key, host=host, gzip=gzip == "gzip", on_error=lambda error, _: failures.append(error)
)
client.identify("u1", {"plan": "pro"})
client.track("u1", "Order Completed", {"price": 12.5, "big": 9007199254740993})
client.page("u1", "Docs", "Start")
client.group("u1", "g1", {"size": 3})
client.alias("a1", "u1")
client.shutdown()
sys.exit(str(failures[0]) if failures else 0)
