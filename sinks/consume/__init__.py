"""One topic, one consumer, one thread: fetch, hand out, commit. Knows no database, only batches and their writing."""
