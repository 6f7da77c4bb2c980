"""HTTP → `raw_events`: authenticate the write key, split, bound, frame, publish, answer after Kafka's ack.

    body → parse → admit ──▶ raw events ──▶ encode ──▶ publish ──▶ 200 once Kafka has everything
                        └──▶ refused events ─▶ dead letters ─▶ ┘

`ingest` is that way. `events/` judges events and is pure; `projects/` knows write keys; `kafka/` takes records;
`http/` reads requests and answers them; `server/` is the process around it all. `README.md` has the drawing.
"""
