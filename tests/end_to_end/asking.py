"""Questions about the rows of one tenant."""

import json
from typing import Any

from docker.local.services import Pipeline


def ask(shop: Pipeline, select: str, table: str, more: str = "1", tail: str = "") -> str:
    """A SELECT over the tenant's rows."""
    return shop.query(f"SELECT {select} FROM {table} WHERE tenant_id = '{shop.tenant_id}' AND ({more}) {tail}")


def lands(shop: Pipeline, condition: str, table: str) -> None:
    """Wait until the tenant's rows meet the condition."""
    shop.wait_until(lambda: ask(shop, condition, table) == "1\n", f"{condition} in {table}")


def rows(shop: Pipeline, table: str, more: str = "1") -> list[dict[str, Any]]:
    """The tenant's rows as dictionaries, 64-bit numbers and JSON texts as they are."""
    tail = "FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0"
    return [json.loads(line) for line in ask(shop, "*", table, more, tail).splitlines()]
