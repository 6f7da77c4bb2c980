"""identity_claims → identities: `chain.py` has the whole, then links and handshakes.

Pure: knows no Kafka, no Faust, no clock, and nothing of events and sessions; claims reach it through their topic.
"""
