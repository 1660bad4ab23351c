"""Strict WSGI (PEP 3333) and ASGI servers in a thread of the test's process."""

from __future__ import annotations

import io
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.validate import validator

import requests
import uvicorn
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers import basehttp
from django.utils.crypto import get_random_string


class Site:
    """A server with the site, and the errors of that server."""

    def __init__(self, address: str, errors: Callable[[], str]) -> None:
        self.address = address
        self.errors = errors

    def browser(self, user_client: Any = None) -> Browser:
        """A browser; with the session of Django's test client where one is given."""
        return Browser(self, user_client)


class Browser:
    """Real requests to one site. Each response is checked for errors of the server, and redirects are not followed."""

    def __init__(self, site: Site, user_client: Any) -> None:
        self.site = site
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["X-Forwarded-Proto"] = "https"
        if user_client is not None:
            name = settings.SESSION_COOKIE_NAME
            self.session.cookies.set(name, user_client.cookies[name].value)

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        response = self.session.request(
            method, f"{self.site.address}{path}", allow_redirects=False, timeout=30, **options
        )
        assert response.status_code != 500, (method, path, self.site.errors())
        assert not self.site.errors(), (method, path, self.site.errors())
        return response

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        """With Django's CSRF token, as a form of the site sends it."""
        cookies = self.session.cookies
        if settings.CSRF_COOKIE_NAME not in cookies:
            cookies.set(settings.CSRF_COOKIE_NAME, get_random_string(32), domain="127.0.0.1")
        token = cookies[settings.CSRF_COOKIE_NAME]
        headers = {"X-CSRFToken": token, "Referer": f"{self.site.address}/".replace("http:", "https:")}
        return self.ask("POST", path, headers={**headers, **options.pop("headers", {})}, **options)


@contextmanager
def wsgiref_site() -> Iterator[Site]:
    """The reference server of the standard library, with its validator between server and site."""
    errors = io.StringIO()

    class Handler(WSGIRequestHandler):
        def get_stderr(self) -> io.StringIO:
            return errors

        def log_message(self, *args: Any) -> None:
            """No line for each request."""

    server = WSGIServer(("127.0.0.1", 0), Handler)
    server.set_app(validator(WSGIHandler()))
    with _running(server):
        yield Site(f"http://127.0.0.1:{server.server_port}", errors.getvalue)


@contextmanager
def runserver_site() -> Iterator[Site]:
    """The server of ``manage.py runserver``, without its reloader."""
    errors = io.StringIO()

    class Handler(basehttp.WSGIRequestHandler):
        def get_stderr(self) -> io.StringIO:
            return errors

        def log_message(self, *args: Any) -> None:
            """No line for each request."""

    server = basehttp.ThreadedWSGIServer(("127.0.0.1", 0), Handler)
    server.set_app(WSGIHandler())
    with _running(server):
        yield Site(f"http://127.0.0.1:{server.server_port}", errors.getvalue)


@contextmanager
def _running(server: WSGIServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def asgi_site() -> Iterator[Site]:
    """uvicorn, with a check of each message between server and site."""
    errors: list[str] = []
    server = uvicorn.Server(uvicorn.Config(exact_messages(ASGIHandler(), errors), lifespan="off", log_config=None))
    listener = uvicorn.Config(None, host="127.0.0.1", port=0).bind_socket()  # type: ignore[arg-type]
    started = threading.Event()
    server_startup = server.startup

    async def startup(sockets: Any = None) -> None:
        await server_startup(sockets)
        started.set()

    server.startup = startup  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert started.wait(30)
        yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}", lambda: "\n".join(errors))
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def exact_messages(app: Any, errors: list[str]) -> Any:
    """``app``, whose messages are checked: header names and values are of the type ``bytes``."""

    async def checked(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        async def send_checked(message: Any) -> None:
            for name, value in message.get("headers", ()):
                if type(name) is not bytes or type(value) is not bytes:
                    errors.append(f"{scope['path']}: header {name!r} is not as ASGI wants it")
            if type(message.get("body", b"")) is not bytes:
                errors.append(f"{scope['path']}: a body of type {type(message['body'])}")
            await send(message)

        try:
            await app(scope, receive, send_checked)
        except Exception as error:
            errors.append(f"{scope['path']}: {error!r}")
            raise

    return checked


SERVERS: dict[str, Callable[[], Any]] = {"wsgiref": wsgiref_site, "runserver": runserver_site, "uvicorn": asgi_site}
