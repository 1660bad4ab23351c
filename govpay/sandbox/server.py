"""The HTTP server on loopback. It is threaded, keeps connections alive, and can drop a connection for a fault."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import threading
import time
from datetime import timedelta
from email.utils import format_datetime
from io import BytesIO
from typing import Any

from werkzeug.serving import DechunkedInput, ThreadedWSGIServer, WSGIRequestHandler

from govpay.sandbox.app import Application, Dropped
from govpay.sandbox.control.faults import Fault

HOST = "127.0.0.1"
LARGEST_BODY = 10_000_000
NO_FAULT = Fault("* *")


class PortBusy(Exception):
    """Another process listens on the port. The text names the port."""


class Connection(WSGIRequestHandler):
    """One client connection with any number of requests.

    werkzeug's own handler closes the connection after each response. This one keeps it open. For that the body is
    always read in full, and every response has a Content-Length.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def run_wsgi(self) -> None:
        self.environ = environ = self.make_environ()
        body = self._body(environ)
        if body is None:
            return
        environ["wsgi.input"] = BytesIO(body)
        started: list[Any] = []
        try:
            pieces = self.server.app(environ, lambda status, headers, *_: started.extend((status, headers)))
            self._send(started[0], started[1], b"".join(pieces))
        except Dropped:
            self._drop()
        except ConnectionError:
            self.close_connection = True
        except Exception:
            self._send("500 Internal Server Error", [("Content-Length", "0")], b"")
            self.close_connection = True
            # An error of the sandbox itself: report it, unless its state was just closed.
            if not self.server.stopping:
                sys.excepthook(*sys.exc_info())

    def _body(self, environ: dict[str, Any]) -> bytes | None:
        """Return the whole body. Returns None if the request was refused for its length."""
        if isinstance(environ["wsgi.input"], DechunkedInput):
            return bytes(environ["wsgi.input"].readall() or b"")
        length = self.headers.get("Content-Length") or "0"
        if not length.isdigit() or int(length) > LARGEST_BODY:
            status = "413 Content Too Large" if length.isdigit() else "400 Bad Request"
            self.close_connection = True
            self._send(status, [("Content-Length", "0")], b"")
            return None
        return self.rfile.read(int(length))

    def _send(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        """Send head and body in one write; a fault may cut, slow or change them."""
        fault: Fault = self.environ.get("sandbox.fault") or NO_FAULT
        if fault.length:
            headers = [(name, _off(value, fault) if name == "Content-Length" else value) for name, value in headers]
        if fault.truncate:
            body = body[: len(body) // 2]
        if fault.truncate or fault.length:
            self.close_connection = True
        named = [("Server", "govpay-sandbox"), ("Date", self.server.date(fault.skew)), *headers]
        named.append(("Connection", "close" if self.close_connection else "keep-alive"))
        head = "".join(f"{name}: {value}\r\n" for name, value in named)
        if self.command == "HEAD":
            body = b""
        data = f"{self.protocol_version} {status}\r\n{head}\r\n".encode("latin-1")
        if fault.drip:
            self.wfile.write(data)
            for position in range(len(body)):
                time.sleep(fault.drip)
                self.wfile.write(body[position : position + 1])
            return
        self.wfile.write(data + body)

    def _drop(self) -> None:
        self.close_connection = True
        self.server.hang_up(self.connection)

    def log(self, type: str, message: str, *args: Any) -> None:
        """Log nothing: the request list has all requests."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


class Server(ThreadedWSGIServer):
    """Listens on 127.0.0.1 and records its open connections, so that `stop` closes all of them."""

    app: Application
    stopping = False

    def __init__(self, app: Application, port: int) -> None:
        listener = _listen(port)
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        try:
            # The socket is opened here, because werkzeug would end the process if the port is busy. werkzeug duplicates
            # the file descriptor.
            super().__init__(HOST, port, app, handler=Connection, fd=listener.fileno())
        finally:
            listener.close()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.stopping = True
        self.shutdown()
        self._thread.join()
        with self._guard:
            connections = list(self._connections)
        for connection in connections:
            self.hang_up(connection)

    def date(self, skew: float = 0.0) -> str:
        """The platform's time, which tests may move, plus `skew` seconds."""
        return format_datetime(self.app.platform.clock.now() + timedelta(seconds=skew), usegmt=True)

    def hang_up(self, connection: socket.socket) -> None:
        # The other side may have closed it already.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors of clients that disconnect."""


def _off(length: str, fault: Fault) -> str:
    return str(max(0, int(length) + fault.length))


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":  # on Windows the option lets two programs listen on one port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortBusy(f"port {port} on {HOST} is in use: choose another with --port") from None
        raise PortBusy(f"cannot listen on port {port} of {HOST}: {error.strerror}") from None
    return listener
