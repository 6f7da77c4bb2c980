"""WhatsApp's webhook and handshake tokens, as raw events.

`apps` and `signature` say whether a body is Meta's, `webhook` splits it into items, `items` reads them, `event` makes
events of them, `admit` judges a whole body. `tokens` spells handshake tokens and finds them in texts, `mint` makes the
event of one, `pace` bounds how many, `ids` replaces customers' ids by hashes, by the keys of `keyring`. `ingest` is the
way to Kafka, `commands` are those of `python -m collector whatsapp`.
"""
