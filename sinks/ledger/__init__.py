"""Accepted = stored + duplicate + dead + in flight; and where one event is.

Reads Kafka; of the database it knows protocols.
"""
