"""What is on the servers against the contract: created, compared, changed; what somebody added is left."""
