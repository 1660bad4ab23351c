"""Sockets with a deadline, so that neither a slow peer nor a slow DNS resolver can outlast a call."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

Address = tuple[Any, ...]


class WireCall(threading.local):
    """The state of this thread's current call, for its connections.

    ``deadline`` is on the monotonic clock. ``connected`` becomes true once a connection made during the attempt
    is ready to send our bytes (TLS included). Before that, nothing can have been sent.
    """

    deadline: float | None = None
    dialled: bool = False  # a new connection was started; false means that a pooled one was used
    connected: bool = False

    obstacle: str = ""  # why no connection could be made

    def begin(self, deadline: float) -> None:
        self.deadline, self.dialled, self.connected, self.obstacle = deadline, False, False, ""

    def end(self) -> None:
        self.deadline = None

    def left(self, wanted: float | None) -> float | None:
        """Return ``wanted`` or the seconds left, whichever is less. Raises ``TimeoutError`` when none are left."""
        if self.deadline is None:
            return wanted
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline of the call has passed")
        return left if wanted is None else min(wanted, left)


call = WireCall()


class DeadlineSocket:
    """A connected socket (plain or TLS) whose reads and writes end at the call's deadline.

    The timeout of a normal socket restarts with every byte, so a peer that sends one header byte a second
    holds a call forever (faults R4). Here each read gets only the time left of the call. All other attributes
    are those of the socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._timeout = sock.gettimeout()

    def settimeout(self, seconds: float | None) -> None:
        self._timeout = seconds
        self._sock.settimeout(seconds)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self._sock.settimeout(call.left(self._timeout))
        return self._sock.recv_into(buffer, nbytes, flags)

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        self._sock.settimeout(call.left(self._timeout))
        return self._sock.recv(bufsize, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        self._sock.settimeout(call.left(self._timeout))
        self._sock.sendall(data, flags)

    def makefile(self, mode: str = "rb", buffering: int | None = None) -> io.BufferedReader:
        """Return the buffered reader for ``http.client``. It reads with the deadline."""
        if mode != "rb":
            raise ValueError("only 'rb' is needed here")
        raw = socket.SocketIO(self, "rb")  # type: ignore[arg-type]
        self._sock._io_refs += 1  # type: ignore[attr-defined]  # as socket.makefile does; SocketIO.close takes it back
        size = buffering if buffering is not None and buffering > 0 else io.DEFAULT_BUFFER_SIZE
        return io.BufferedReader(raw, size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def resolve(host: str, port: int, seconds: float | None) -> list[Address]:
    """Return the addresses of ``host``, resolved within ``seconds``.

    ``getaddrinfo`` cannot be interrupted and may hang for half a minute, so it runs in a thread, which is abandoned
    after the timeout. Raises ``socket.gaierror`` or ``TimeoutError``.
    """
    found: list[list[Address]] = []
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            found.append(list(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)))
        except BaseException as error:
            failed.append(error)

    asker = threading.Thread(target=ask, name="govpay-resolve", daemon=True)
    asker.start()
    asker.join(seconds)
    if found:
        return found[0]
    if failed:
        raise failed[0]
    raise TimeoutError("the name was not resolved in time")


def connect(
    host: str, port: int, timeout: float | None, options: Any = (), source: tuple[str, int] | None = None
) -> socket.socket:
    """Return a TCP connection to the first address of ``host`` that answers. ``timeout``: seconds for each address.

    All addresses together never take longer than the call's deadline. Raises ``socket.gaierror``
    or another ``OSError``.
    """
    last: OSError | None = None
    for family, kind, proto, _, address in resolve(host.strip("[]"), port, call.left(timeout)):
        sock: socket.socket | None = None
        try:
            sock = socket.socket(family, kind, proto)
            for option in options or ():
                sock.setsockopt(*option)
            sock.settimeout(call.left(timeout))
            if source:
                sock.bind(source)
            sock.connect(address)
            # The time left is also the limit of the TLS handshake that follows.
            sock.settimeout(call.left(timeout))
            return sock
        except OSError as error:
            last = error
            if sock is not None:
                sock.close()
    raise last or OSError(f"no address for {host}")


def why(error: BaseException) -> str:
    """Return a short text for staff about a failed exchange, without the error's own text, which may quote a URL."""
    if call.obstacle:
        return call.obstacle
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the server's certificate is not valid: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "the secure connection failed"
        if isinstance(cause, TimeoutError):
            return "no complete answer in time" if call.connected or not call.dialled else "no connection in time"
        if isinstance(cause, http.client.IncompleteRead):
            return "the answer was cut short"
    return "the connection broke"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and its causes. requests and urllib3 also nest causes in ``args`` and ``reason``."""
    seen: set[int] = set()
    queue: list[Any] = [error]
    while queue and len(seen) < 20:
        current = queue.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        queue += [getattr(current, "reason", None), *current.args, current.__cause__, current.__context__]
