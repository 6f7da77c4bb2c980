"""What one request holds: its events parsed, judged one by one, dated. Pure: no HTTP, Kafka, clock or chance."""
