"""The least that paramiko needs to bring home what our trips ask: the limit to measure ours against.

One connection with the host key verified, the same commands, their output unpacked. Nothing bounded or explained.
"""

from __future__ import annotations

import gzip
import socket
from pathlib import Path

import paramiko


class Quick(socket.socket):
    """Neither waits to send nor lets the other side wait for an acknowledgement."""

    def recv(self, count: int, flags: int = 0) -> bytes:
        data = super().recv(count, flags)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


class Bare:
    """What does not depend on the host is read once, as in a run against many."""

    def __init__(self, key: Path, known_hosts: Path) -> None:
        self._key = paramiko.Ed25519Key.from_private_key_file(str(key))
        self._known_hosts = str(known_hosts)

    def ask(self, user: str, address: str, *trips: tuple[str, bytes]) -> list[bytes]:
        """The output of each command, which reads these bytes, unpacked."""
        sock = Quick(socket.AF_INET, socket.SOCK_STREAM)
        sock.connect((address, 22))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with paramiko.SSHClient() as client:
            client.load_host_keys(self._known_hosts)
            client.set_missing_host_key_policy(paramiko.RejectPolicy())
            client.connect(address, 22, user, pkey=self._key, sock=sock, allow_agent=False, look_for_keys=False)
            return [_said(client, *trip) for trip in trips]


def _said(client: paramiko.SSHClient, command: str, words: bytes) -> bytes:
    stdin, stdout, _stderr = client.exec_command(command)
    stdin.channel.sendall(words)
    stdin.channel.shutdown_write()
    return gzip.decompress(stdout.read().partition(b" gzip\n")[2])
