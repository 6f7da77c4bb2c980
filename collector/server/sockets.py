"""Listening sockets: bound at start, and closed without cutting off whom the kernel has let in already."""

import ctypes
import resource
import socket
import struct
import sys
from typing import Final

import structlog

_log: Final = structlog.get_logger()
_OTHER_FILES: Final = 256  # Kafka's connections, logs, libraries
_SO_ATTACH_FILTER: Final = 26  # Linux; not among the constants of `socket`
# Classic BPF over the TCP header: load the flags, drop the packet when SYN is among them, let all others through.
_DROP_SYN: Final = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
)


class PortTakenError(OSError):
    """Nothing can listen there; the message says where and why."""


def bind(host: str, port: int, shared: bool = False) -> socket.socket:
    """A bound socket that does not listen yet; port 0: the system picks one; `shared`: others may bind it too.

    Raises PortTakenError.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTakenError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


def raise_open_files_limit(connections: int) -> None:
    """Raise this process's own limit of open files, as far as it may, so that so many connections can be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _log.warning("fewer files may be open than TALLY_COLLECTOR_CONNECTIONS_MAX needs", may=allowed, needs=wanted)


def drop_new_connections(listener: socket.socket) -> None:
    """Let no new connection begin, while those that have begun can still be accepted.

    Closing a listening socket resets the connections that wait to be accepted, with the requests in them. A client
    whose first packet is dropped here repeats it a second later and meets whoever listens then.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
    instructions = len(_DROP_SYN) // struct.calcsize("HBBI")
    listener.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", instructions, ctypes.addressof(program))
    )
