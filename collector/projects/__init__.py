"""Whose events they are: the projects and their write keys. Knows nothing of events or of HTTP's machinery."""
