-- The newest version of each conversation, as it is at this moment: one in which nobody has said anything for as long
-- as its project waits is resolved, whether or not a worker has looked at it since. FINAL hides tombstones.
CREATE VIEW IF NOT EXISTS conversations_current AS
WITH
    last_activity_at + toIntervalSecond(inactivity_seconds) AS silent_at,
    current_state != 'resolved' AND silent_at < now64(3) AS is_silent
SELECT
    * REPLACE (
        if(is_silent, 'resolved', current_state) AS current_state,
        if(is_silent, silent_at, resolved_at) AS resolved_at,
        if(is_silent, 'inactivity', resolved_reason) AS resolved_reason
    )
FROM conversations FINAL;
