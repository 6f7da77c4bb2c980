"""One agent a source topic: the steps of its chunks, its table, and what it publishes."""
