-- The newest version of each session; FINAL also hides those absorbed by another (the engine's is_deleted).
CREATE VIEW IF NOT EXISTS sessions_current AS
SELECT *
FROM sessions FINAL;
