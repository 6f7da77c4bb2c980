"""conversation_signals → conversations: `chain.py` has the whole; then names of customers, facts, and their fold.

Pure: knows no Kafka, no Faust, no clock, and nothing of events, sessions and identities; signals reach it through their
topic.
"""
