"""HTTP → `raw_events`: authenticate the write key, split, bound, frame, publish, answer after Kafka's ack.

    body → parse → admit ──▶ raw events ──▶ encode ──▶ publish ──▶ 200 once Kafka has everything
                        └──▶ refused events ─▶ dead letters ─▶ ┘

Pure: `parse`, `salvage`, `admit`, `event`, `context`, `times`, `session_key`, `message_id`, `encode`, `projects`.
"""
