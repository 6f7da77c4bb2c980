"""Ports: nobody else's, and nobody else's tomorrow either."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from docker.local import PROJECT_ROOT
from docker.local.ports import HOST, SLICE_PORTS, PortSlice, free_port


def test_free_ports_are_outside_the_range_of_outgoing_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(1024 < free_port() < first for _ in range(50))


def test_no_port_is_handed_out_twice_while_there_are_others() -> None:
    with PortSlice.take() as ports:
        handed = [ports.hand_out(1) for _ in range(SLICE_PORTS // 2)]
    assert len(set(handed)) == len(handed)


def test_neighbours_are_all_handed_out_to_who_asked_for_them() -> None:
    first = free_port(3)
    assert free_port() not in range(first, first + 3)


def test_a_port_that_is_listened_on_is_passed_over() -> None:
    with PortSlice.take() as ports, socket.socket() as taken:
        port = ports.hand_out(1)
        # The slice may have been another process's a moment ago, whose connections still wait for their end.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((HOST, port))
        taken.listen()
        assert PortSlice(ports.first, ports._lock).hand_out(2) > port


@pytest.mark.command
def test_two_processes_have_no_port_in_common() -> None:
    code = "from docker.local.ports import free_port; print(*(free_port() for _ in range(50)), flush=True); input()"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    handed: list[set[str]] = []
    for process in processes:
        assert process.stdout is not None
        handed.append(set(process.stdout.readline().split()))
    for process in processes:
        process.communicate("\n")
    own = {str(free_port()) for _ in range(50)}
    assert [len(ports) for ports in (*handed, own)] == [50, 50, 50]
    assert len(own.union(*handed)) == 150
