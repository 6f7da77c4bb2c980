"""Requests as they arrive, and their responses. Knows nothing of Kafka: `collector.ingest` does the rest."""
