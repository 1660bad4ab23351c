"""A proxy to a server that can be cut, to simulate an outage of the network or the server."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable

HOST = "127.0.0.1"

#: How soon a thread sees that it shall end, in seconds.
ALERT = 0.02


class Relay:
    """Listens on ``port`` and passes everything to the target, both ways, until it is ``cut``."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = self._bound(0)
        self.port = int(self._listener.getsockname()[1])
        self.cuts = 0  # connections that were open when it was cut
        self.restore()

    def restore(self) -> None:
        self._ended.clear()
        self._listener.listen()
        self._run(self._accept, self._listener)

    def cut(self) -> None:
        """Reset every connection and refuse new ones; the port stays ours."""
        self._ended.set()
        while self._threads:
            self._threads.pop().join()
        self._listener.close()
        self._listener = self._bound(self.port)

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _bound(self, port: int) -> socket.socket:
        """Whoever connects to a socket that is bound and does not listen is refused."""
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((HOST, port))
        made.settimeout(ALERT)
        return made

    def _run(self, work: Callable[..., None], *given: socket.socket) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while not self._ended.is_set():
            try:
                near, _ = listener.accept()
            except TimeoutError:
                continue
            self._run(self._pass_on, near, socket.create_connection(self._target))

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        near.settimeout(None)
        try:
            while not self._ended.is_set():
                for ready in select.select([near, far], [], [], ALERT)[0]:
                    if not (data := ready.recv(65536)):
                        return
                    other[ready].sendall(data)
            self.cuts += 1
        except OSError:
            pass  # one of the two has reset it, which the other one hears below
        finally:
            for each in other:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.close()
