"""Provisioning from a file: created once, compared each time, continued after any interruption."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from govpay.exceptions import OperationRefused
from govpay.models import Client, Operation, PaymentAccount, WebhookSubscription
from govpay.operations import provision_steps, provisioning
from govpay.operations.provision_file import BadFile, read_file
from govpay.operations.provision_steps import CHANGED, FAILED, LEFT, PLANNED, UNCHANGED, Step
from govpay.operations.provisioning import provision
from govpay.sync import secrets
from govpay.sync.pull import pull
from tests.operations.merchant import Merchant, at_once
from tests.operations.test_tenants import (
    ACCOUNT,
    CHECKOUT,
    CLIENT,
    SECRET,
    SUBSCRIPTIONS,
    UPDATE,
    answers,
    sent,
    without,
)
from tests.operations.test_wallets import everything

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLE = Path(__file__).resolve().parents[2] / "provision.example.toml"

MERCHANT_TOML = """\
site = "https://pay.example.gov"

[client]
name = "Town"
timezone = "Mountain Standard Time"

[[accounts]]
name = "Water"
processor = "zift"
external_account_id = "EX-1"
external_merchant_id = "4539578763621486"
maximum_payment_dollars = "2500.50"

[accounts.checkout]
allowed_origins = ["https://pay.example.gov", "https://www.example.gov"]
display_name = "Town"

[accounts.webhooks]
enabled = true
events = ["payment.completed", "payment.failed"]

[[accounts]]
name = "Courts"
processor = "zift"
external_account_id = "EX-2"
external_merchant_id = "2"
active = false
"""

#: The writes of a first run, in order.
WRITES = [
    CLIENT,
    ACCOUNT,
    "PUT /api/paymentaccounts/{water}/checkout-config",
    "PUT /api/paymentaccounts/{water}",
    SUBSCRIPTIONS,
    ACCOUNT,
]


def run(text: str = MERCHANT_TOML, **options: Any) -> list[Step]:
    return provision(read_file(text), **options)


def states(steps: list[Step]) -> dict[str, str]:
    return {step.name: step.state for step in steps}


def count(sandbox: Any, path: str) -> int:
    return sum(each["path"] == path for each in sandbox.requests())


def account(name: str) -> PaymentAccount:
    row: PaymentAccount = PaymentAccount.objects.get(name=name)
    return row


# --- The whole way --------------------------------------------------------------------------------


def test_a_first_run_makes_it_all_and_a_second_one_writes_nothing(sandbox: Any) -> None:
    steps = run()
    assert set(states(steps).values()) == {CHANGED}
    water = account("Water")
    assert sent(sandbox) == [each.format(water=water.uid) for each in WRITES]
    assert (water.client_id, water.maximum_payment_amount) == (Client.objects.get(name="Town").uid, 250_050)
    assert water.callback_url == f"https://pay.example.gov/govpay/webhooks/{water.uid}/"
    assert water.webhook_enabled is True
    assert water.allowed_origins == ["https://pay.example.gov", "https://www.example.gov"]
    on = WebhookSubscription.objects.filter(account=water.uid, enabled=True).values_list("event_type", flat=True)
    assert set(on) == {"payment.completed", "payment.failed"}
    assert secrets.secrets_of(water.uid) == (sandbox.webhook_secret(water.uid),)
    assert account("Courts").active is False
    assert not Operation.objects.exclude(state="succeeded").exists()

    fetched = count(sandbox, "/api/webhooks/secret")
    again = run()
    assert set(states(again).values()) == {UNCHANGED}
    assert len(sent(sandbox)) == len(WRITES)
    assert count(sandbox, "/api/webhooks/secret") == fetched == 1
    assert [pull(name).unchanged for name in ("clients", "accounts")] == [1, 2]


def test_the_example_is_good_and_comes_out_as_the_demo_city(sandbox: Any) -> None:
    text = EXAMPLE.read_text()
    assert set(states(run(text)).values()) == {CHANGED}
    made = {(row.name, row.external_account_id, row.external_merchant_id) for row in PaymentAccount.objects.all()}
    assert ("Utilities", "EX-UTILITIES-01", "7400100") in made
    assert len(made) == 4
    writes = len(sent(sandbox))
    assert set(states(run(text)).values()) == {UNCHANGED}
    assert len(sent(sandbox)) == writes


def test_value_that_cannot_be_read_is_replaced(sandbox: Any) -> None:
    run()
    water = account("Water").uid
    sandbox.touch("account", water, name=7, processor="\0")
    assert states(run(MERCHANT_TOML))['account "Water"'] == CHANGED
    assert sandbox.get("account", water)["name"] == "Water"


def test_only_what_differs_is_done(sandbox: Any) -> None:
    run()
    before = len(sent(sandbox))
    water = account("Water").uid
    sandbox.touch("account", water, name="Elsewhere", enable_ach=False)
    text = MERCHANT_TOML.replace('"2500.50"', '"9.00"').replace('"payment.failed"]', '"payment.refunded"]')
    steps = states(run(text))
    assert {name for name, state in steps.items() if state == CHANGED} == {'account "Water"', 'events of "Water"'}
    assert sent(sandbox)[before:] == [f"PUT /api/paymentaccounts/{water}", SUBSCRIPTIONS]
    document = sandbox.get("account", water)
    assert (document["name"], document["maximum_payment_amount"]) == ("Water", 9.0)
    assert document["enable_ach"] is False  # the file does not say
    assert document["callback_url"]


def test_what_others_have_made_is_found_and_completed(sandbox: Any) -> None:
    client = sandbox.add_client(name="Town")
    there = sandbox.add_account(client["uid"], external_account_id="EX-1", external_merchant_id="4539578763621486")
    steps = run()
    assert CLIENT not in sent(sandbox)
    assert sent(sandbox).count(ACCOUNT) == 1  # of Courts
    assert account("Water").uid == there["uid"]
    assert "timezone" in steps[0].notes[0]
    assert steps[0].state == UNCHANGED


def test_looks_alone_are_set_once(sandbox: Any) -> None:
    run()
    changed = MERCHANT_TOML.replace('display_name = "Town"', 'display_name = "Town of X"')
    step = next(step for step in run(changed) if step.name == 'checkout of "Water"')
    assert [tuple(change.lines()) for change in step.changes] == [
        ('- display_name = "Town"', '+ display_name = "Town of X"')
    ]
    writes = len(sent(sandbox))
    run(changed)
    assert len(sent(sandbox)) == writes


def test_secret_is_fetched_when_none_is_kept_and_after_a_change(sandbox: Any) -> None:
    run()
    fetched = partial(count, sandbox, "/api/webhooks/secret")
    PaymentAccount.objects.update(webhook_secret=None)
    assert states(run())['secret of "Water"'] == CHANGED
    assert fetched() == 2
    sandbox.rotate_secret(account("Water").uid)
    assert states(run(MERCHANT_TOML.replace("pay.example.gov", "pay2.example.gov")))['secret of "Water"'] == CHANGED
    assert fetched() == 3
    assert len(secrets.secrets_of(account("Water").uid)) == 2


def test_webhooks_are_switched_off(sandbox: Any) -> None:
    run()
    run(MERCHANT_TOML.replace("enabled = true", "enabled = false"))
    assert account("Water").webhook_enabled is False
    assert account("Water").callback_url


# --- Platforms that answer less, or in other letters ----------------------------------------------


@pytest.mark.parametrize(
    ("names", "gone"),
    [
        (("client_id", "processor"), lambda value: True),
        (("callback_url", "webhook_enabled"), lambda value: True),
        (("active", "enable_ach"), lambda value: value is False),
    ],
)
def test_what_the_platform_does_not_show_is_sent_once(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], gone: Any
) -> None:
    answers(sandbox, monkeypatch, without(names, gone))
    assert set(states(run()).values()) == {CHANGED}
    writes = len(sent(sandbox))
    pull("accounts")
    assert set(states(run()).values()) == {UNCHANGED}
    assert len(sent(sandbox)) == writes
    off = run(MERCHANT_TOML.replace("enabled = true", "enabled = false"))
    assert states(off)['webhooks of "Water"'] == CHANGED
    assert sandbox.get("account", account("Water").uid)["webhook_enabled"] is False


def test_account_that_others_made_is_completed_where_it_does_not_name_its_client(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sandbox.add_client(name="Town")
    there = sandbox.add_account(client["uid"], external_account_id="EX-1", external_merchant_id="4539578763621486")
    answers(sandbox, monkeypatch, without(("client_id",)))
    assert FAILED not in states(run()).values()
    assert sandbox.get("account", there["uid"])["name"] == "Water"


def test_what_goes_wrong_here_stops_one_step_alone(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**options: Any) -> None:
        raise TypeError("of ours")

    monkeypatch.setattr(provisioning, "update_payment_account", fail)
    steps = {step.name: step for step in run()}
    assert [name for name, step in steps.items() if step.state == FAILED] == ['webhooks of "Water"']
    assert "TypeError" in steps['webhooks of "Water"'].why
    assert steps['account "Courts"'].state == CHANGED
    assert "of ours" in caplog.text


def test_echoes_in_other_letters_differ_in_nothing(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lower(method: str, path: str, answer: Any) -> Any:
        said = str(answer.text or "").replace("WWW.example.gov:443", "www.example.gov").replace("#1F6FEB", "#1f6feb")
        return replace(answer, text=said) if answer.text else answer

    text = MERCHANT_TOML.replace('display_name = "Town"', 'accent_color = "#1F6FEB"')
    text = text.replace("https://www.example.gov", "https://WWW.example.gov:443")
    answers(sandbox, monkeypatch, lower)
    run(text)
    pull("accounts")
    assert "https://www.example.gov" in account("Water").allowed_origins
    assert set(states(run(text)).values()) == {UNCHANGED}


# --- Looking only ---------------------------------------------------------------------------------


def test_a_dry_run_shows_all_and_writes_nothing_anywhere(sandbox: Any) -> None:
    before = everything()
    steps = run(dry_run=True)
    assert set(states(steps).values()) == {PLANNED}
    lines = [line for step in steps for change in step.changes for line in change.lines()]
    assert '+ callback_url = "https://pay.example.gov/govpay/webhooks/<uid>/"' in lines
    assert '+ maximum_payment_dollars = "2500.50"' in lines
    assert sent(sandbox) == []
    assert everything() == before


def test_a_dry_run_on_what_is_there_shows_the_difference(sandbox: Any) -> None:
    run()
    before, writes = everything(), len(sent(sandbox))
    steps = run(
        MERCHANT_TOML.replace('"Courts"', '"Court"').replace('"payment.failed"]', '"ivr.completed"]'), dry_run=True
    )
    lines = [line for step in steps for change in step.changes for line in change.lines()]
    assert lines == [
        "- payment.failed = true",
        "+ payment.failed = false",
        "- ivr.completed = false",
        "+ ivr.completed = true",
        '- name = "Courts"',
        '+ name = "Court"',
    ]
    assert (everything(), len(sent(sandbox))) == (before, writes)


# --- Stops, refusals, lost answers ----------------------------------------------------------------


@pytest.mark.parametrize("stop", range(len(WRITES) + 1))
def test_a_stop_after_any_write_is_continued(sandbox: Any, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    class Stopped(BaseException):
        pass

    def tell(step: Step) -> None:
        if len(sent(sandbox)) >= stop:
            raise Stopped

    with pytest.raises(Stopped):
        run(tell=tell)
    run()
    assert len(sent(sandbox)) == len(WRITES)
    assert (len(sandbox.all("client")), len(sandbox.all("account"))) == (1, 2)
    assert set(states(run()).values()) == {UNCHANGED}


@pytest.mark.parametrize(
    ("route", "failed", "left"),
    [
        (CLIENT, 'client "Town"', 7),
        (f"{ACCOUNT}", 'account "Water"', 4),
        (CHECKOUT, 'checkout of "Water"', 0),
        (UPDATE, 'webhooks of "Water"', 0),
        (SUBSCRIPTIONS, 'events of "Water"', 0),
    ],
)
@pytest.mark.parametrize("status", [403, 422])
def test_a_refused_step_is_named_and_the_others_are_done(
    sandbox: Any, route: str, failed: str, left: int, status: int
) -> None:
    sandbox.fault(route, times=1, status=status)
    found = states(run())
    assert [name for name, state in found.items() if state == FAILED] == [failed]
    assert sum(state == LEFT for state in found.values()) == (left if route != CLIENT else len(found) - 1)
    again = states(run())
    assert FAILED not in again.values()
    assert again[failed] == CHANGED
    assert len(sandbox.all("account")) == 2


@pytest.mark.parametrize("close", ["after", "before"])
@pytest.mark.parametrize("route", [CLIENT, ACCOUNT, CHECKOUT, UPDATE, SUBSCRIPTIONS])
def test_a_lost_answer_never_makes_a_second_one(sandbox: Any, route: str, close: str) -> None:
    merchant = Merchant(sandbox)
    sandbox.fault(route, times=1, close=close)
    found = states(run())
    assert list(found.values()).count(FAILED) == 1
    merchant.reconcile_all()
    run()
    merchant.reconcile_all()
    assert set(states(run()).values()) == {UNCHANGED}
    assert len([each for each in sandbox.all("client") if each["name"] == "Town"]) == 1
    assert len([each for each in sandbox.all("account") if each["external_account_id"]]) == 2
    assert sent(sandbox).count(CLIENT) <= (2 if route == CLIENT and close == "before" else 1)
    assert not Operation.objects.filter(state__in=("started", "unknown")).exists()


def test_a_platform_out_of_reach_stops_the_run(sandbox: Any, settings: Any) -> None:
    run()
    settings.GOVPAY = {**settings.GOVPAY, "API_URL": "http://127.0.0.1:9", "MAX_RETRIES": 0}
    found = states(run())
    assert found.pop('client "Town"') == FAILED
    assert set(found.values()) == {LEFT}


def test_a_secret_that_cannot_be_fetched_stops_nothing_else(sandbox: Any, impatient: None) -> None:
    sandbox.fault(SECRET, times=1, status=500)
    found = states(run())
    assert (found['secret of "Water"'], found['account "Courts"']) == (FAILED, CHANGED)
    assert states(run())['secret of "Water"'] == CHANGED


def test_an_event_that_the_catalogue_lacks_is_named(sandbox: Any) -> None:
    steps = run(MERCHANT_TOML.replace("payment.failed", "payment.fail"))
    (step,) = [step for step in steps if step.state == FAILED]
    assert step.name == 'events of "Water"'
    assert "did you mean 'payment.failed'" in step.why
    assert SUBSCRIPTIONS not in sent(sandbox)


def test_an_account_of_another_client_is_left_alone(sandbox: Any) -> None:
    sandbox.add_account(external_account_id="EX-2", external_merchant_id="2")
    found = {step.name: step for step in run()}
    assert found['account "Courts"'].state == FAILED
    assert "another client" in found['account "Courts"'].why


def test_two_runs_at_once_make_one_of_each(sandbox: Any) -> None:
    sandbox.fault("POST /api/*", delay=0.2)
    sandbox.fault("PUT /api/*", delay=0.2)
    barrier = threading.Barrier(2)

    def one() -> list[Step]:
        barrier.wait(300)
        return run()

    for found in at_once(one, one):
        assert isinstance(found, list), found
        assert not [step for step in found if step.state in (FAILED, LEFT)]
    assert (len(sandbox.all("client")), len(sandbox.all("account"))) == (1, 2)
    assert set(states(run()).values()) == {UNCHANGED}


def test_a_run_waits_for_another_one_and_then_says_so(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provision_steps, "STEP_TIMEOUT", 0.3)
    run()
    sandbox.fault(UPDATE, times=1, close="before")
    other = MERCHANT_TOML.replace('"Courts"', '"Court"')
    assert FAILED in states(run(other)).values()
    steps = {step.name: step for step in run(other)}
    assert steps['account "Court"'].state == FAILED
    assert "try again in a minute" in steps['account "Court"'].why


def test_a_site_without_the_urls_is_told_before_anything(sandbox: Any, settings: Any) -> None:
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    with pytest.raises(OperationRefused, match=r"govpay\.urls"):
        run()
    assert sandbox.requests() == []


def test_secrets_are_nowhere_to_be_read(sandbox: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    steps = run()
    seen = repr(steps) + caplog.text + everything()
    assert sandbox.webhook_secret(account("Water").uid) not in seen


# --- Files that say something wrong ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "path", "text"),
    [
        ("https://pay.example.gov", "http://pay.example.gov", "site", "site must be https"),
        ("https://pay.example.gov", "https://pay.example.gov/x", "site", "site must be scheme and host only"),
        ("https://pay.example.gov", "https://192.168.1.4", "site", "reach from outside"),
        ("[client]", "[clent]", "clent", "no key 'clent'. Did you mean 'client'?"),
        ("[client]", "[clent]", "client", "the file has no client"),
        ("timezone", "time_zone", "client.time_zone", "client has no key 'time_zone'. Did you mean 'timezone'?"),
        ("timezone", '"t.z"', 'client."t.z"', "client has no key 't.z'."),
        ('name = "Town"', "name = 5", "client.name", "name must be a text"),
        ('name = "Water"', 'name = "4111 1111 1111 1111"', "accounts[0].name", "looks like a card"),
        ('processor = "zift"\nexternal_account_id = "EX-1"', 'external_account_id = "EX-1"', "accounts[0].processor",
         "has no processor"),
        ('external_merchant_id = "2"', "external_merchant_id = 2", "accounts[1].external_merchant_id",
         'must be a text: "2"'),
        ('"EX-2"\nexternal_merchant_id = "2"', '"EX-1"\nexternal_merchant_id = "4539578763621486"',
         "accounts[1].external_account_id", "accounts[0] has the same external ids"),
        ("active = false", 'active = "no"', "accounts[1].active", "active must be true or false"),
        ('"2500.50"', "2500.5", "accounts[0].maximum_payment_dollars", "dollars as a text"),
        ('"2500.50"', '"2500.505"', "accounts[0].maximum_payment_dollars", "dollars as a text"),
        ('"2500.50"', '"1.00"\nminimum_payment_dollars = "2.00"', "accounts[0].minimum_payment_dollars", "exceeds"),
        ("https://www.example.gov", "https://www.example.gov/pay", "accounts[0].checkout.allowed_origins[1]",
         "without a path"),
        ("https://www.example.gov", "https://pay.example.gov", "accounts[0].checkout.allowed_origins", "twice"),
        ('", "https://www.example.gov"]', '",\n    "ftp://x.example",\n]', "accounts[0].checkout.allowed_origins[1]",
         "must be https"),
        ('display_name = "Town"', 'accent_color = "blue"', "accounts[0].checkout.accent_color",
         "accent_color must be a color"),
        ("enabled = true", "enabled = 1", "accounts[0].webhooks.enabled", "enabled must be true or false"),
        ("enabled = true\n", "", "accounts[0].webhooks.enabled", "accounts.webhooks has no enabled"),
        ('["payment.completed", "payment.failed"]', '"some"', "accounts[0].webhooks.events",
         'events must be "all" or a list'),
        ('"payment.failed"', "5", "accounts[0].webhooks.events[1]", 'events must be "all" or a list'),
        ('site = "https://pay.example.gov"\n', "", "accounts[0].webhooks", "webhooks need the address of this site"),
        ("[accounts.checkout]", "checkout = 5\n[accounts.chekout]", "accounts[0].checkout",
         "checkout must be a table"),
        ('site = "https://pay.example.gov"', "accounts = [5]", "accounts[0]", "must be tables: [[accounts]]"),
        ('site = "https://pay.example.gov"', "accounts = 5", "accounts", "must be tables: [[accounts]]"),
        ("[client]", 'client = "x"\n[clent]', "client", "client must be a table"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_key_path(sandbox: Any, old: str, new: str, path: str, text: str) -> None:
    assert old in MERCHANT_TOML
    wrong = MERCHANT_TOML.replace(old, new, 1)
    if new.startswith("accounts = "):
        wrong = wrong[: wrong.index("[[accounts]]")]
    with pytest.raises(BadFile) as caught:
        read_file(wrong)
    found = [(problem.path, problem.text) for problem in caught.value.problems]
    assert any(where == path and text in words for where, words in found), found
    assert sandbox.requests() == []


def test_a_syntax_error_is_named_with_its_line() -> None:
    with pytest.raises(BadFile, match=r"no TOML: .*at line 22"):
        read_file(MERCHANT_TOML.replace('[[accounts]]\nname = "Courts"', '[accounts]\nname = "Courts"'))


def test_conflicts_are_named_beside_other_mistakes() -> None:
    wrong = MERCHANT_TOML.replace('"2500.50"', '"1.00"\nminimum_payment_dollars = "2.00"').replace("EX-2", "EX-1")
    wrong = wrong.replace('id = "2"', 'id = "4539578763621486"').replace("site =", "sight =")
    with pytest.raises(BadFile) as caught:
        read_file(wrong)
    assert [problem.path for problem in caught.value.problems] == [
        "sight",
        "accounts[0].minimum_payment_dollars",
        "accounts[0].webhooks",
        "accounts[1].external_account_id",
    ]


def test_everything_wrong_is_named_at_once(sandbox: Any) -> None:
    wrong = MERCHANT_TOML.replace("zift", "").replace("timezone", "zone").replace("true", '"true"')
    with pytest.raises(BadFile) as caught:
        read_file(wrong)
    assert [problem.path for problem in caught.value.problems] == [
        "client.zone",
        "accounts[0].processor",
        "accounts[0].webhooks.enabled",
        "accounts[1].processor",
    ]


@pytest.mark.parametrize(
    "text", ["", "x", "[client]", "client = 5", "accounts = 3\n[client]\nname = 'x'", "a = [" * 5000]
)
def test_no_file_at_all(text: str) -> None:
    with pytest.raises(BadFile):
        read_file(text)
