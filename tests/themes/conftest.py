"""One platform, one database and one Chromium for all themes, and a site with each theme."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.conftest import chromium, missing
from tests.processes import ROOT, bare_environment
from tests.project.driving import free_port, wait_for
from tests.themes.seed import THEMES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

TIMEOUT = 30
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


@pytest.fixture(autouse=True)
def _nothing_left_over() -> None:
    """Replaces the fixture of the same name: these tests use other processes."""


@dataclass(frozen=True)
class City:
    """The platform, and the addresses that ``tests.themes.seed`` printed."""

    platform: Any
    ports: dict[str, int]
    environment: dict[str, str]
    folder: Path
    session: str
    rows: dict[str, dict[str, Any]]


@pytest.fixture(scope="package")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    if why := missing("themes"):
        pytest.skip(why)
    from govpay.sandbox import Sandbox

    folder = tmp_path_factory.mktemp("themes")
    ports = {theme: free_port() for theme in THEMES}
    with Sandbox(size=24) as platform, platform.serve(port=0) as address:
        govpay = {
            "CLIENT_ID": address.client_id,
            "CLIENT_SECRET": address.client_secret,
            "TOKEN_URL": address.token_url,
            "API_URL": address.api_url,
            "CHECKOUT_ORIGINS": [f"http://127.0.0.1:{port}" for port in ports.values()],
            "COMPONENT_SCRIPT_URL": f"{address.api_url}/component/govifi.js",
        }
        child = {"files": str(folder), "database": str(folder / "site.sqlite3"), "govpay": govpay}
        environment = {**bare_environment(), "PYTHONPATH": str(ROOT), "TEST_CHILD": json.dumps(child)}
        uids = {theme: on_the_platform(platform, theme, ports[theme]) for theme in THEMES}
        made = subprocess.run(
            [sys.executable, "-m", "tests.themes.seed", json.dumps(uids)],
            cwd=ROOT,
            env={**environment, "DJANGO_SETTINGS_MODULE": "tests.settings"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert made.returncode == 0, made.stderr
        yield City(platform, ports, environment, folder, **json.loads(made.stdout))


def on_the_platform(platform: Any, theme: str, port: int) -> dict[str, str]:
    """An account with a customer, a saved card and payments, which the tests of ``theme`` alone use."""
    account = platform.add_account(name=f"Utilities {theme}", allowed_origins=[f"http://127.0.0.1:{port}"])["uid"]
    customer = platform.add_customer(account, name="Pat Example", email="pat@example.org", reference_id=f"C-{theme}")
    method = platform.add_method(customer["uid"], "credit", default=True)

    def payment(status: str, base: int) -> str:
        saved = method["saved_payment_method_uid"]
        return str(platform.add_payment(account, status, base_amount=base, method=saved)["uid"])

    return {
        "account": account,
        "customer": customer["uid"],
        "method": method["saved_payment_method_uid"],
        "disputed": payment("captured", 21_000),
        "settled": payment("captured", 22_000),
        "refundable": payment("captured", 10_000),
        "refunded": payment("captured", 11_000),
        "first": payment("captured", 4_100),
        "second": payment("captured", 4_200),
        "stuck": payment("captured", 9_900),
    }


# --- A host with a theme --------------------------------------------------------------------------


class Site:
    """A running host with one theme, whose superuser is signed in."""

    def __init__(self, city: City, theme: str) -> None:
        self.theme, self.city = theme, city
        self.origin = f"http://127.0.0.1:{city.ports[theme]}"
        self.named: dict[str, Any] = city.rows[theme]["named"]
        self.models: dict[str, Any] = city.rows[theme]["models"]
        self.log = city.folder / f"{theme}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "runserver", "--noreload", "--insecure", self.origin[7:]],
                cwd=ROOT,
                env={**city.environment, "DJANGO_SETTINGS_MODULE": f"tests.themes.sites.{theme}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.http = requests.Session()
        self.http.cookies.set("session", city.session, domain="127.0.0.1")

    def wait(self) -> None:
        assert wait_for(self._answers, TIMEOUT), self.log.read_text()

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return requests.get(f"{self.origin}/nothing/", timeout=5).status_code == 404
        except requests.ConnectionError:
            return False

    def get(self, path: str) -> requests.Response:
        return self.http.get(self.origin + path, timeout=TIMEOUT, allow_redirects=False)

    def page(self, model: str, row: str) -> str:
        """The address of a named row's own page."""
        return f"/admin/govpay/{model}/{self.named[row]}/change/"

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(TIMEOUT)


@pytest.fixture(scope="package", params=THEMES)
def site(city: City, request: pytest.FixtureRequest) -> Iterator[Site]:
    site = Site(city, request.param)
    try:
        site.wait()
        yield site
    finally:
        site.close()


# --- A browser ------------------------------------------------------------------------------------


@pytest.fixture(scope="package")
def chrome(city: City) -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=TIMEOUT * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), headless=True, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(site: Site, chrome: Browser) -> Iterator[Callable[..., Page]]:
    """``visit(path, **options)``: the page in a browser of the superuser; what the console says against it fails."""
    contexts: list[BrowserContext] = []
    said: list[str] = []

    def open_page(path: str, **options: Any) -> Page:
        context = chrome.new_context(**{"viewport": WIDE, **options})
        context.set_default_timeout(TIMEOUT * 1000)
        # One theme goes by its own switch alone.
        mode = f"localStorage.setItem('jazzmin-theme-mode', '{options.get('color_scheme', 'light')}')"
        context.add_init_script(f"if (location.origin === '{site.origin}') {mode}")
        context.add_cookies([{"name": "session", "value": site.city.session, "url": site.origin}])
        contexts.append(context)
        context.on("console", hear)
        context.on("weberror", lambda error: said.append(str(error.error)))
        context.on("request", lambda request: said.append(f"asked {request.url}") if strange(request.url) else None)
        page = context.new_page()
        page.goto(site.origin + path)
        return page

    def hear(message: Any) -> None:
        # Chromium asks each site for its icon by itself; these have none.
        if message.type == "error" and not message.location["url"].endswith("/favicon.ico"):
            said.append(message.text)

    def strange(url: str) -> bool:
        known = (urlsplit(site.origin).netloc, urlsplit(site.city.platform.address.api_url).netloc)
        return urlsplit(url).scheme in ("http", "https") and urlsplit(url).netloc not in known

    yield open_page
    for context in contexts:
        context.close()
    assert not said
