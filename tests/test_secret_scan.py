"""S1: the log check that runs with every test finds each kind of secret of a sandbox."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.operations.merchant import Merchant, bank_account, card
from tests.secret_scan import PLANTED, Ear, canaries_in

BACK = {"success_url": "https://testserver/a", "cancel_url": "https://testserver/b"}


def given_out(merchant: Merchant) -> dict[str, list[str]]:
    """Kind → the secrets of that kind, after a payment, a session and the lists were made and read."""
    sandbox, account = merchant.sandbox, merchant.account.uid
    token = sandbox.platform.store.execute("SELECT token FROM tokens")[0][0]
    sandbox.platform.store.execute("DELETE FROM tokens")
    made = sandbox.add_session(account, **BACK)
    methods = (card()["credit"], bank_account()["ach"])
    return {
        "client secret": [sandbox.address.client_secret],
        "access token": [token],
        "webhook secret": [sandbox.webhook_secret(account), sandbox.rotate_secret(account)],
        "credential of a session": [made["client_secret"]],
        "processor token": [method["fingerprint"] for method in methods],
        "card number": ["4111111111111111", "5555 5555 5555 4444", "3714-496353-98431"],
    }


@pytest.fixture
def merchant(sandbox: Any, transactional_db: None) -> Merchant:
    merchant = Merchant(sandbox)
    merchant.quoted()
    return merchant


@pytest.mark.django_db(transaction=True)
def test_every_secret_of_a_sandbox_is_known_and_found_in_the_log(merchant: Merchant, ear: Ear) -> None:
    """S1: in a message, in its arguments and in a traceback, at any level of ours."""
    found = given_out(merchant)
    assert set(found) == set(PLANTED)
    log = logging.getLogger("govpay.client")
    for kind, secrets in found.items():
        for secret in secrets:
            assert canaries_in(f"x {secret}.") == [kind]
            assert ear.found() == []
            log.debug("refused: %s", secret)
            try:
                raise ValueError(secret)
            except ValueError:
                log.exception("it failed")
            assert ear.found() == [f"govpay.client: {kind}"] * 2
            ear.lines.clear()


def test_what_is_masked_is_no_secret() -> None:
    for text in ("cs_***", "whsec_***", "Bearer ***", "the client secret is wrong", "pay_4111", "a token", "1" * 16):
        assert canaries_in(text) == []
