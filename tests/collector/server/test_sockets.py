"""Listening sockets."""

import socket

import pytest

from collector.server.sockets import PortTakenError, bind, drop_new_connections


def connected(address: tuple[str, int], timeout_s: float) -> socket.socket:
    """A connection that has sent something."""
    client = socket.create_connection(address, timeout=timeout_s)
    client.sendall(b"request")
    return client


def test_who_was_let_in_is_served_and_nobody_else_is_let_in() -> None:
    listener = bind("127.0.0.1", 0)
    listener.listen(8)
    listener.settimeout(5)
    address = listener.getsockname()
    waiting = [connected(address, 5) for _ in range(3)]
    drop_new_connections(listener)
    with pytest.raises(TimeoutError):
        connected(address, 0.2)
    for _ in waiting:
        accepted, _peer = listener.accept()
        assert accepted.recv(100) == b"request"
        accepted.sendall(b"answer")
        accepted.close()
    listener.close()
    for client in waiting:
        assert client.recv(100) == b"answer"
        assert client.recv(100) == b""  # an end, not a reset
        client.close()


def test_a_port_that_is_taken_is_named() -> None:
    first = bind("127.0.0.1", 0)
    first.listen()
    port = first.getsockname()[1]
    with pytest.raises(PortTakenError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
        bind("127.0.0.1", port)
    with pytest.raises(PortTakenError):
        bind("127.0.0.1", port, shared=True)
    first.close()


def test_a_shared_port_can_be_bound_by_several() -> None:
    first = bind("127.0.0.1", 0, shared=True)
    second = bind("127.0.0.1", first.getsockname()[1], shared=True)
    assert first.getsockname() == second.getsockname()
    first.close()
    second.close()
