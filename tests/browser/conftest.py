"""One demo, one host's site and one Chromium for all tests; a new browser context and strict error checks for each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import chromium
from tests.project.driving import running_demo

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.browser.driving import HostedDemo

TIMEOUT_MS = 30_000


@pytest.fixture(autouse=True)
def _nothing_left_over() -> None:
    """Replaces the fixture of the same name: these tests use other processes."""


@pytest.fixture(scope="package")
def hosted_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedDemo]:
    """The demo, whole, with a host's own site beside it."""
    from tests.browser.driving import HostedDemo

    with running_demo(tmp_path_factory.mktemp("browser") / "var") as demo:
        shown = demo.wait_until_ready()
        hosted_demo = HostedDemo(demo, shown["user"], shown["password"])
        try:
            hosted_demo.open()
            yield hosted_demo
        finally:
            hosted_demo.close()
        assert not hosted_demo.files_with_card_numbers()


@pytest.fixture(scope="package")
def chrome() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), headless=True, args=["--no-sandbox"])
        yield browser
        browser.close()


class Witness:
    """Records errors in the browser and requests to other hosts. Expected refusals are declared one by one."""

    def __init__(self, hosted_demo: HostedDemo) -> None:
        self.hosted_demo = hosted_demo
        self.home = {hosted_demo.site, hosted_demo.host, hosted_demo.platform}
        self.strangers: list[str] = []
        self.errors: list[str] = []
        #: (status, path) of each answer of 400 and above, and of each line that Chromium wrote for one.
        self.refused: list[tuple[int, str]] = []
        self.logged: list[str] = []
        self.expected: list[tuple[int, str]] = []
        #: Parts of the errors that a test is about.
        self.wanted: list[str] = []

    def expect(self, status: int, path: str) -> None:
        """One answer with this status is right, at an address whose path ends like this."""
        self.expected.append((status, path))

    def watch(self, context: BrowserContext) -> None:
        context.on("request", lambda request: self._asked(request.url))
        context.on("response", lambda response: self._answered(response.status, response.url))
        context.on("console", self._said)
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        context.on("requestfailed", lambda request: self._failed(request))

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "about") and f"{parts.scheme}://{parts.netloc}" not in self.home:
            self.strangers.append(url)

    def _answered(self, status: int, url: str) -> None:
        if status >= 400:
            self.refused.append((status, urlsplit(url).path))

    def _failed(self, request: Any) -> None:
        # Leaving a page aborts its requests; every other failure is an error of the page.
        if request.failure != "net::ERR_ABORTED":
            self.errors.append(f"{request.url}: {request.failure}")

    def _said(self, message: Any) -> None:
        if message.type not in ("error", "warning"):
            return
        if message.text.startswith("Failed to load resource: the server responded with a status of"):
            path = urlsplit(message.location["url"]).path
            # Chromium itself asks each site for its icon; the demo has none, and no page names one.
            if path != "/favicon.ico":
                self.logged.append(path)
        else:
            self.errors.append(f"{message.type}: {message.text}")

    def judge(self) -> None:
        assert not self.strangers, "asked others than the site and the platform"
        for part in self.wanted:
            assert any(part in error for error in self.errors), f"nothing said {part!r}, but {self.errors}"
        assert not [error for error in self.errors if not any(part in error for part in self.wanted)]
        left = list(self.refused)
        for status, ending in self.expected:
            found = next((each for each in left if each[0] == status and each[1].endswith(ending)), None)
            assert found is not None, f"no {status} at …{ending}, but {self.refused}"
            left.remove(found)
        assert not left, "answers that no test expects"
        assert not Counter(self.logged) - Counter(path for _, path in self.refused)


@pytest.fixture
def witness(hosted_demo: HostedDemo) -> Witness:
    return Witness(hosted_demo)


@pytest.fixture
def visit(chrome: Browser, witness: Witness, request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """``visit(address)`` opens a page in a new browser context; options are those of the context."""
    contexts: list[BrowserContext] = []

    def open_page(address: str = "", **options: Any) -> Page:
        context = chrome.new_context(**options)
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        witness.watch(context)
        page = context.new_page()
        if address:
            page.goto(address)
        return page

    yield open_page
    for context in contexts:
        _keep(context, request.node.name)
        context.close()
    witness.judge()


def _keep(context: BrowserContext, name: str) -> None:
    """A picture of how each page was left, for people, where ``SCREENSHOTS`` names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        for number, page in enumerate(context.pages):
            page.screenshot(path=Path(folder) / f"{name}-{id(context) % 1000}-{number}.png", full_page=True)
