"""Kafka and Faust, and nothing of analytics: chunks, epochs, tables, publishing, health."""
