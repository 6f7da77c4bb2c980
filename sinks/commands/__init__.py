"""What people type, one module a group of commands; no decision about events is made here."""
