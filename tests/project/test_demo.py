"""``manage.py demo`` with real processes, real HTTP and real signals."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from govpay.operations.provision_file import read_file
from project.demo import first_sync
from project.demo.city import for_this_site
from project.management.commands import demo as demo_command
from project.management.commands.demo import only_demo
from tests.processes import ROOT, bare_environment
from tests.project.driving import Browser, Demo, processes_on, running_demo, wait_for

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


CARDS = ("Visa ", "Mastercard ", "Amex ", "American Express ", "Discover ")


def waiting(browser: Browser) -> list[str]:
    """Primary keys of the payments that wait for capture, from the list in the admin; cards first.

    In which order they are listed depends on the worker, and what is refunded to a bank account is pending for days.
    """
    page = browser.get("govpay/payment/", status="validated")
    rows = [row for row in page.text.split("<tr") if "_selected_action" in row]
    rows.sort(key=lambda row: not any(card in row for card in CARDS))
    return [found for row in rows for found in re.findall(r'name="_selected_action" value="(\d+)"', row)]


def log_in(demo: Demo) -> Browser:
    shown = demo.wait_until_ready()
    assert urlsplit(shown["url"]).path == "/admin/"
    browser = Browser(shown["url"])
    page = browser.log_in(shown["user"], shown["password"])
    assert "logout" in page.text
    return browser


def webhooks_arrived(demo: Demo, count: int) -> list[str]:
    """The events that the site has answered 2xx, once there are ``count``."""

    def arrived() -> list[str]:
        return [row["event_type"] for row in demo.ask("deliveries") if row["done"] and row["status"] // 100 == 2]

    assert wait_for(lambda: len(arrived()) >= count), demo.ask("deliveries")
    return arrived()


@pytest.mark.ci
def test_newcomer_sees_captures_refunds_and_comes_back(tmp_path: Path) -> None:
    var = tmp_path / "var"
    first = Demo(var)
    try:
        browser = log_in(first)
        stats = first.ask("stats")
        assert browser.get("/static/admin/css/base.css").headers["content-type"].startswith("text/css")

        # Its tenants were created through the API.
        asked = [f"{each['method']} {each['path']}" for each in first.ask("requests")]
        assert (asked.count("POST /api/clients"), asked.count("POST /api/paymentaccounts")) == (1, 4)

        assert "demo: sandbox, no real money" in browser.get("").text

        # Six wait; capturing one takes its money once, however often the form is sent.
        before = first.ask("ledger")
        six = waiting(browser)
        assert len(six) == 6, six
        confirmation = browser.get("govpay/payment/capture/", ids=six[0])
        browser.submit(confirmation, "key")
        browser.submit(confirmation, "key")
        (capture,) = first.ask("ledger")[len(before) :]
        assert capture["kind"] == "capture"
        assert waiting(browser) == six[1:]

        # A part of it goes back, once.
        confirmation = browser.get("govpay/payment/refund/", ids=six[0])
        browser.submit(confirmation, "key", amount="1.00", reason="Overpaid")
        browser.submit(confirmation, "key", amount="1.00", reason="Overpaid")
        (refund,) = first.ask("ledger")[len(before) + 1 :]
        assert (refund["kind"], refund["amount"]) == ("refund", 100)
        assert refund["payment_uid"] == capture["payment_uid"]
        page = browser.get(f"govpay/payment/{six[0]}/change/").text
        assert "Partially refunded" in page, f"{re.findall('govpay-badge[^>]*>([^<]*)<', page)}{first.logs()}"
        assert "1.00" in page

        # The sandbox sends webhooks for both, and for changes made elsewhere.
        told = ["payment.completed", "payment.refunded"]
        assert webhooks_arrived(first, 2) == told
        first.tell("chargeback", payment=capture["payment_uid"], reason_code="4853")
        assert webhooks_arrived(first, 3) == [*told, "provider.chargeback"]
        shown = f"govpay/payment/{six[0]}/change/"
        assert wait_for(lambda: "Charged back" in browser.get(shown).text), "the webhook brings it, not the next sync"

        # A second demo on the same ports fails and changes nothing.
        second = Demo(tmp_path / "other", port=first.port, sandbox_port=first.sandbox_port)
        assert second.process.wait(300) == 1
        wait_for(lambda: second.said)
        assert f"Port {first.port} on 127.0.0.1 is in use" in second.said
        assert "Traceback" not in second.said
        assert processes_on(tmp_path / "other") == []

        # One token served all of it.
        assert first.ask("stats")["token_requests"] <= 2
    finally:
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()

    # Killed outright, at any moment: the next start goes on with the same data, here on another port.
    with running_demo(var, sandbox_port=first.sandbox_port) as again:
        browser = log_in(again)
        assert len(waiting(browser)) == 6, "topped up at each start"
        assert "Charged back" in browser.get(f"govpay/payment/{six[0]}/change/").text
        again.tell("reversal", payment=capture["payment_uid"])
        assert webhooks_arrived(again, 4)[-1] == "provider.reversal", "the address has followed the site"
        assert again.ask("stats")["customers"] == stats["customers"]
        assert again.ask("ledger")[: len(before)] == before
        assert again.stop(signal.SIGTERM) == 0
        assert "govpay demo stopped" in again.said
    assert wait_for(lambda: processes_on(var) == [])


def test_busy_sandbox_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = occupant.getsockname()[1]
        demo = Demo(tmp_path, sandbox_port=port)
        assert demo.process.wait(300) == 1
        wait_for(lambda: demo.said)
    assert f"Port {port} on 127.0.0.1 is in use" in demo.said
    assert "SANDBOX_PORT" in demo.said
    assert processes_on(tmp_path) == []


@pytest.mark.ci
def test_platform_of_ones_own_needs_no_sandbox_and_a_dead_worker_ends_the_demo(tmp_path: Path, sandbox: Any) -> None:
    sandbox.add_payment(sandbox.add_account()["uid"], reference_id="ELSEWHERE-1")
    address = sandbox.address
    with running_demo(
        tmp_path,
        GOVPAY_API_URL=address.api_url,
        GOVPAY_TOKEN_URL=address.token_url,
        GOVPAY_CLIENT_ID=address.client_id,
        GOVPAY_CLIENT_SECRET=address.client_secret,
    ) as demo:
        page = log_in(demo).get("govpay/payment/").text
        assert "ELSEWHERE-1" in page
        assert "demo: sandbox" not in page
        running = [command for _, command in processes_on(tmp_path)]
        assert not [command for command in running if "govpay.sandbox" in command]

        workers = [pid for pid, command in processes_on(tmp_path) if "celery" in command]
        os.kill(min(workers), signal.SIGKILL)
        assert demo.process.wait(300) == 1
        wait_for(lambda: "worker" in demo.said)
        assert "The worker process ended with code -9" in demo.said
        assert "Traceback" not in demo.said
    assert wait_for(lambda: processes_on(tmp_path) == [])


def test_the_example_is_told_of_this_site() -> None:
    text = for_this_site((ROOT / demo_command.EXAMPLE).read_text(), 8123)
    wanted = read_file(text)
    assert wanted.site == "http://127.0.0.1:8123"
    origins = [account.checkout["allowed_origins"] for account in wanted.accounts if account.checkout]
    assert len(origins) == 3
    assert all({"http://127.0.0.1:8123", "http://localhost:8123"} < set(each) for each in origins)


def test_total_counts_what_the_first_sync_brings() -> None:
    assert first_sync.rows_there(None) is None
    assert first_sync.rows_there({"payments": 7, "customers": 2, "requests": 99, "now": "…"}) == 9


@pytest.mark.parametrize("option", ["PORT", "SANDBOX_PORT"])
@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "8000 8001", "", "٣"])
@pytest.mark.parametrize("by", ["environment", "option"])
def test_a_wrong_port_is_named_in_one_line(tmp_path: Path, option: str, port: str, by: str) -> None:
    """``make`` gives both: its variables are in the environment of its commands."""
    given = {option: port} if by == "environment" else {}
    flag = f"--{option.lower().replace('_', '-')}={port}" if by == "option" else "--verbosity=1"
    done = subprocess.run(
        [sys.executable, "manage.py", "demo", flag],
        cwd=ROOT,
        env={**bare_environment(), "VAR_DIR": str(tmp_path), **given},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"{option} must be a port number from 1 to 65535, not {port!r}.\n"
    assert not (tmp_path / "demo.lock").exists()


def test_one_port_for_both_is_refused(tmp_path: Path) -> None:
    demo = Demo(tmp_path, port=8123, sandbox_port=8123)
    assert demo.process.wait(300) == 1
    wait_for(lambda: demo.said)
    assert "PORT and SANDBOX_PORT must differ" in demo.said


def test_clean_leaves_a_running_demo_alone(tmp_path: Path) -> None:
    """The rule of the Makefile, on a copy of it: the demo holds the lock while it runs."""
    for name in ("Makefile", "project/demo/idle.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    var = tmp_path / "var"
    var.mkdir()
    (var / "data").write_text("kept")
    clean = ["make", "clean", f"PYTHON={sys.executable}"]
    with only_demo(var, []):
        done = subprocess.run(clean, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode != 0
        assert "A demo is running on var. Stop it with Ctrl-C" in done.stderr
        assert (var / "data").read_text() == "kept"
    subprocess.run(clean, cwd=tmp_path, capture_output=True, timeout=60, check=True)
    assert not var.exists()
