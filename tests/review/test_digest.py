"""The digest by e-mail: time, recipients, text, and that two workers send one."""

from __future__ import annotations

import datetime as dt
from typing import Any

import django
import pytest
from django.core import mail
from django.test import override_settings
from django.utils import timezone

from govpay import tasks
from govpay.models import Heartbeat, Operation, Payment
from govpay.review import digest, send_digest
from tests.admin.rows import relatives
from tests.operations.merchant import at_once
from tests.review.test_items import lost, moved, refund

pytestmark = pytest.mark.django_db(transaction=True)

TO = ("finance@city.example", "ops@city.example")


@pytest.fixture
def told(settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "DIGEST_RECIPIENTS": TO, "PUBLIC_URL": "https://pay.city.example/"}
    relatives()
    Payment.objects.update(flag="")


def hours_later(hours: float) -> None:
    row = Heartbeat.objects.get(name=digest.NAME)
    Heartbeat.objects.filter(pk=row.pk).update(last_seen=row.last_seen - dt.timedelta(hours=hours))


def test_says_what_is_known_and_what_comes_next(told: None) -> None:
    lost()
    Payment.objects.filter(uid="pay_0").update(flag="return", flagged_at=timezone.now())
    tasks.send_digest()
    (letter,) = mail.outbox
    assert letter.subject == "Payments: 2 items in the review queue"
    assert letter.to == list(TO)
    assert "Refund of $5.00 · BILL-0 · Account 0" in letter.body
    assert "No answer came." in letter.body
    assert "What comes next: It is looked up each minute" in letter.body
    assert "Returned by the bank: payment of $107.50" in letter.body
    assert "https://pay.city.example/admin/govpay/operation/attention/" in letter.body
    assert "&#" not in letter.body


def test_flags_of_a_first_load_are_one_thing(told: None) -> None:
    for _ in range(3):
        moved("chargeback", backlog=True)
    send_digest()
    (letter,) = mail.outbox
    assert letter.subject == "Payments: 1 item in the review queue"
    assert "Disputed: 3 payments, $322.50 · Account 0" in letter.body
    assert "Found by the first load of this payment account" in letter.body
    assert "What comes next: Nothing happens automatically. Do not refund it" in letter.body


def test_reason_and_earlier_refund_are_in_the_letter(told: None) -> None:
    row = moved("return", reason_code="R10", amount=10_750)
    refund(row, 4000, dt.datetime(2026, 3, 9, tzinfo=dt.UTC))
    send_digest()
    body = mail.outbox[0].body
    assert "The payer says that the debit was not authorized. (R10)" in body
    assert "$40.00 of it had been refunded before, last on 03/09/2026." in body
    assert "What to do: Do not charge this account again." in body
    assert "By when: A bank has 60 calendar days" in body


def test_at_most_once_in_an_interval_and_only_with_something_to_say(told: None) -> None:
    assert send_digest() == 0
    lost()
    assert send_digest() == 1, "the first one does not wait"
    assert send_digest() == 0
    hours_later(23)
    assert send_digest() == 0
    hours_later(2)
    assert send_digest() == 1, "it is still open the next day"
    Operation.objects.update(state="succeeded")
    hours_later(25)
    assert send_digest() == 0
    assert len(mail.outbox) == 2


def test_nobody_is_told_by_default(db: None) -> None:
    relatives()
    lost()
    tasks.send_digest()
    assert mail.outbox == []
    assert not Heartbeat.objects.filter(name=digest.NAME).exists()


def test_two_workers_send_one(told: None) -> None:
    lost()
    assert sorted(at_once(*[send_digest] * 4)) == [0, 0, 0, 1]
    assert len(mail.outbox) == 1


def mail_server(host: str, port: int, password: str) -> dict[str, Any]:
    """The settings that name it, as this Django wants them."""
    backend = "django.core.mail.backends.smtp.EmailBackend"
    if django.VERSION >= (6, 1):
        options = {"host": host, "port": port, "password": password}
        return {"MAILERS": {"default": {"BACKEND": backend, "OPTIONS": options}}}
    return {"EMAIL_BACKEND": backend, "EMAIL_HOST": host, "EMAIL_PORT": port, "EMAIL_HOST_PASSWORD": password}


def test_mail_server_that_refuses_is_asked_again_later(told: None, caplog: pytest.LogCaptureFixture) -> None:
    lost()
    with override_settings(**mail_server(host="127.0.0.1", port=9, password="CANARY-mail")):
        tasks.send_digest()
    assert "could not be sent" in caplog.text
    assert "CANARY" not in caplog.text
    assert send_digest() == 0, "not at once"
    hours_later(0.2)
    assert send_digest() == 1
    assert len(mail.outbox) == 1


def test_without_an_address_it_says_where_to_look(told: None, settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "PUBLIC_URL": ""}
    lost()
    send_digest()
    assert "in the admin, under Operations" in mail.outbox[0].body
