"""From fetched records to batches cut by offset. Pure: knows no consumer, no database, no clock."""
