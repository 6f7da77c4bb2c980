"""The life of a process: sockets, start, admin port, drain, several on one port. Nobody but `__main__` imports it."""
