"""Deliveries: the answers reveal nothing to a forger, and secrets are encrypted at rest."""

from __future__ import annotations

import ast
import hmac
import inspect
from typing import Any

import pytest
from celery import current_app
from django.db import connections

from govpay import operations, tasks
from govpay.client import signature
from govpay.connection import get_authorizer
from govpay.models.sealed import sealed_columns
from tests.events import SECRET, deliver, envelope, known_account, post
from tests.operations.merchant import Merchant, card

pytestmark = pytest.mark.django_db(transaction=True)


def test_signatures_are_compared_in_constant_time_with_every_secret(monkeypatch: Any) -> None:
    tree = ast.parse(inspect.getsource(signature.verify))
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    assert not [node for node in compared if "given" in ast.dump(node)], "never with =="
    tried: list[str] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: tried.append(a) or real(a, b))  # type: ignore[func-returns-value]
    body = b'{"timestamp": 1000}'
    secrets = ["right", "wrong", "older"]
    signature.verify(signature.compute("right", 1000, body), body, secrets, now=1000)
    assert len(tried) == 3, "also after the one that fits"


def test_refusals_of_an_account_look_alike() -> None:
    """Missing, malformed, wrong and late signatures get the same answer. Only an unknown account gets 404."""
    uid = known_account()
    answers = [
        post(uid, b'{"timestamp": 1}', None),
        post(uid, b'{"timestamp": 1}', "sha256=" + "0" * 64),
        deliver(uid, envelope(), secret="forged"),
        deliver(uid, envelope(age=10**6), secret="forged"),
        deliver(uid, envelope(age=10**6), secret=SECRET),
    ]
    assert {(each.status_code, each.content) for each in answers} == {(401, b'{"status": "refused"}')}
    unknown = deliver("acc_unknown", envelope(), secret="forged")
    assert (unknown.status_code, unknown.content) == (404, b'{"status": "refused"}')


def test_secrets_are_sealed_at_rest(sandbox: Any, settings: Any) -> None:
    """Read from the tables and the cache themselves."""
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://testserver"]}
    merchant = Merchant(sandbox)
    operations.refresh_webhook_secret(account=merchant.account)
    operations.quote_payment(account=merchant.account, base_amount=500, payment_method=card(fingerprint="tok_canary"))
    back = {"success_url": "https://testserver/a", "cancel_url": "https://testserver/b"}
    session = operations.create_hosted_session(account=merchant.account, amount=500, **back)
    merchant.account.refresh_from_db()
    assert merchant.account.webhook_secret is not None
    assert session.credential is not None
    secrets = [
        str(merchant.account.webhook_secret.reveal()),
        str(session.credential.reveal()),
        get_authorizer().token(),
        "tok_canary",
        settings.GOVPAY["CLIENT_SECRET"],
    ]
    held = ""
    for database in connections.all():  # the cache's too, where it is one
        if database.alias == "replica":
            continue  # no test reads it
        with database.cursor() as cursor:
            for table in database.introspection.table_names(cursor):
                cursor.execute(f'SELECT * FROM "{table}"')
                held += repr(cursor.fetchall())
    assert "gAAAA" in held
    assert not [secret for secret in secrets if secret in held]


def test_sealed_columns_are_known() -> None:
    found = {f"{model.__name__}.{name}" for model, names in sealed_columns() for name in names}
    assert {"PaymentAccount.webhook_secret", "HostedSession.credential", "HostedSession.hosted_url"} <= found
    assert "Operation.validated_method" in found


def test_messages_to_workers_are_ids_and_names() -> None:
    """What a broker keeps: no object, no document, no secret. Nothing is returned, so no result is kept either."""
    assert tasks.process_event.name in current_app.tasks
    for name, task in current_app.tasks.items():
        if name.startswith("govpay."):
            signature_of = inspect.signature(task.run)
            assert set(signature_of.parameters) <= {"account_uid", "resources", "full", "event_id", "event_ids"}, name
            assert signature_of.return_annotation in (None, "None"), name
