"""What people type, where it is more than a line of `__main__`."""
