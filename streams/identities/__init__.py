"""identity_claims → identities: which user a visitor is, as claimed and as settled. Pure but for its table."""
