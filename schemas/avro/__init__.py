"""Avro schemas, one file a topic, and `ids.json`: the append-only list of every version that was ever written."""
