"""Kafka and Faust: chunks, epochs, tables, publishing, health. Knows nothing of events, sessions or identities.

What is done with records reaches it as operators (`operator.py`, the one file that the domains know of it).
"""
