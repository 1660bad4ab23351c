"""The running demo and a host's site: the host's code, the rows, the sandbox's ledger, and the payer's form."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import requests

from tests.processes import ROOT, bare_environment
from tests.project.driving import Demo, free_port, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

# Whatever imports this is skipped where there is no playwright.
expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-browser").expect

T = TypeVar("T")

#: Other people's machines are slow; nothing here waits longer than it must.
TIMEOUT = 30

VISA = "4111111111111111"
MASTERCARD = "5555555555554444"
DECLINED = "4000000000000002"

_turns = itertools.count()


def fresh_amount() -> int:
    """Cents that no test has asked for yet: the same amount twice would be taken for a duplicate."""
    return 2_000 + 10 * next(_turns)


def visa_fee(amount: int) -> int:
    """As the vendor's sample has it: 2.76 % and 30 cents."""
    return (amount * 276 + 5000) // 10_000 + 30


def dollars(cents: int) -> str:
    return f"${cents // 100:,}.{cents % 100:02}"


class HostedDemo:
    """The demo with a host's site on the same rows. Tests read the rows and start actions through it."""

    def __init__(self, demo: Demo, user: str, password: str) -> None:
        self.demo, self.user, self.password = demo, user, password
        self.site = f"http://127.0.0.1:{demo.port}"
        self.port = free_port()
        self.host = f"http://127.0.0.1:{self.port}"
        self.platform = f"http://127.0.0.1:{demo.sandbox_port}"
        self.process = self._start()
        self.account = self.rows("SELECT uid FROM govpay_paymentaccount WHERE name = 'Utilities'")[0]["uid"]

    def _start(self) -> subprocess.Popen[bytes]:
        """A host's own site on the demo's rows: ``tests.browser.site``."""
        options = "--worker-class=gthread --workers=1 --threads=4 --graceful-timeout=2 --no-control-socket"
        own = {
            "DJANGO_SETTINGS_MODULE": "tests.browser.site",
            "VAR_DIR": str(self.demo.var),
            "PORT": str(self.port),
            "SANDBOX_PORT": str(self.demo.sandbox_port),
        }
        with (self.demo.var / "log" / "host.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "project.wsgi", f"--bind=127.0.0.1:{self.port}", *options.split()],
                cwd=ROOT,
                env={**bare_environment(), **own, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def open(self) -> None:
        """Waits for the host's site and registers it with the platform, as its people would."""
        assert wait_for(self._answers, TIMEOUT), self.demo.logs()
        self.have("register", origins=[self.site, self.host])

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.demo.logs()
        try:
            return requests.get(f"{self.host}/nothing/", timeout=5).status_code == 404
        except (requests.ConnectionError, requests.Timeout):
            return False

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    # -- host code ----------------------------------------------------------------------------------------

    def have(self, action: str, **given: Any) -> Any:
        """The host's code does ``action`` (``tests.browser.urls``) on the account *Utilities*."""
        answer = requests.post(f"{self.host}/have/{action}/", json={"account": self.account, **given}, timeout=TIMEOUT)
        assert answer.ok, f"{action}: {answer.status_code}\n{self.demo.logs()}"
        return answer.json()["result"]

    def link(self, **given: Any) -> str:
        """The address of a fresh payment link."""
        return self.pay_page(self.have("link", **given))

    def session(self, **given: Any) -> str:
        """The uid of a fresh session."""
        addresses = {"success_url": f"{self.host}/paid/", "cancel_url": f"{self.host}/back/"}
        return str(self.have("session", **addresses, **given))

    def customer(self, *methods: dict[str, Any]) -> tuple[str, list[str]]:
        """The uid of a new customer, and those of the methods that it has on file."""
        made = self.have("customer", reference=f"browser-{next(_turns)}", methods=methods)
        return made["customer"], made["methods"]

    def pay_page(self, public_id: str) -> str:
        return f"{self.site}/govpay/pay/{public_id}/"

    def session_page(self, uid: str) -> str:
        return self.pay_page(self.session_row(uid)["public_id"])

    # -- results ----------------------------------------------------------------------------------

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Straight from the site's database, which is only read."""
        address = f"file:{self.demo.var / 'govpay.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=TIMEOUT)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement, values)]

    def link_row(self, address: str) -> dict[str, Any]:
        (row,) = self.rows("SELECT * FROM govpay_paymentlink WHERE public_id = ?", address.rstrip("/").split("/")[-1])
        return row

    def session_row(self, uid: str) -> dict[str, Any]:
        (row,) = self.rows("SELECT * FROM govpay_hostedsession WHERE uid = ?", uid)
        return row

    def sessions_of(self, address: str) -> list[dict[str, Any]]:
        """All sessions that a link has opened, the oldest first."""
        public_id = self.link_row(address)["public_id"]
        found = self.rows("SELECT * FROM govpay_hostedsession WHERE metadata LIKE ? ORDER BY id", f"%{public_id}%")
        return found

    def booked(self, *sessions: str) -> list[tuple[str, int]]:
        """(kind, cents) that the platform's ledger has for payments of these sessions."""
        return [(row["kind"], row["amount"]) for row in self.demo.ask("ledger") if row["reference_id"] in sessions]

    def files_with_card_numbers(self) -> list[str]:
        """Databases, queue and logs of the site that hold a number which a test has typed; there must be none."""
        typed = [number.encode() for number in (VISA, MASTERCARD, DECLINED)]
        files = [each for each in self.demo.var.rglob("*") if each.is_file() and not each.name.startswith("sandbox")]
        assert any(each.name == "govpay.sqlite3" for each in files)
        return [str(each) for each in files if any(number in each.read_bytes() for number in typed)]

    def eventually(self, look: Callable[[], T], good: Callable[[T], bool]) -> T:
        """Wait until the result of ``look`` is ``good``, and return it."""
        end = time.monotonic() + TIMEOUT
        while not good(found := look()):
            assert time.monotonic() < end, f"still {found}\n{self.demo.logs()}"
            time.sleep(0.1)
        return found


# --- What staff do --------------------------------------------------------------------------------------


def log_in(page: Page, hosted_demo: HostedDemo) -> None:
    page.get_by_label("Username").fill(hosted_demo.user)
    page.get_by_label("Password").fill(hosted_demo.password)
    page.get_by_role("button", name="Log in").click()


# --- What a payer does ----------------------------------------------------------------------------------


def enter_card(page: Page | Locator, number: str = VISA, name: str = "Dana Vale") -> None:
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expiry date").fill("12/40")
    page.get_by_label("Security code").fill("123")
    page.get_by_label("Name on card").fill(name)


def pay_button(page: Page | Locator, total: int) -> Locator:
    """It carries the total once the fee is known."""
    return page.get_by_role("button", name=f"Pay {dollars(total)}", exact=True)


def pay_by_card(page: Page, amount: int, number: str = VISA) -> int:
    """Gives the total that was shown and paid."""
    total = amount + visa_fee(amount)
    enter_card(page, number)
    pay_button(page, total).click()
    return total


def told_of_payment(page: Page) -> None:
    """The page that asks the platform says by itself that it is paid."""
    expect(page.get_by_role("heading", name="It is paid. Thank you.")).to_be_visible()
