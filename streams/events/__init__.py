"""raw_events → enriched_events, and the claims found on the way: `chain.py` has the whole, then a file a step.

Pure: knows no Kafka, no Faust and no clock. Folds into the states of `sessions`, and knows nothing of identities.
"""
