"""Runs the ClickHouse program that lives in a shared library: LIBRARY ARGUMENT…

Imports nothing of the project: it is a process of its own.
"""

import ctypes
import sys


def main() -> int:
    """Call the library's main function; returns when the server ends."""
    library = ctypes.CDLL(sys.argv[1])
    arguments = [b"clickhouse", *(argument.encode() for argument in sys.argv[2:])]
    argv = (ctypes.c_char_p * (len(arguments) + 1))(*arguments, None)
    library.chdb_query_cmdline.restype = ctypes.c_void_p
    return 0 if library.chdb_query_cmdline(len(arguments), argv) else 1


if __name__ == "__main__":
    sys.exit(main())
