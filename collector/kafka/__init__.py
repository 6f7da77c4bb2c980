"""Records to bytes, and bytes to Kafka with their acknowledgement. Knows nothing of HTTP."""
