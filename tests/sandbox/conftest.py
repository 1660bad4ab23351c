"""A sandbox on an ephemeral port, and a caller that uses it over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from govpay.sandbox import Address, Sandbox

SCOPE = "com.govineer.payments/admin"
FORM = {"grant_type": "client_credentials", "scope": SCOPE}


class Caller:
    """An HTTP client of one platform: admin token, account header, nothing clever."""

    def __init__(self, address: Address, account_uid: str = "") -> None:
        self.address = address
        self.account_uid = account_uid
        self.session = requests.Session()
        self.token = self.fetch_token().json()["access_token"]

    def fetch_token(self, **options: Any) -> requests.Response:
        auth = (self.address.client_id, self.address.client_secret)
        return self.session.post(self.address.token_url, **{"auth": auth, "data": FORM, **options})

    def __call__(
        self, method: str, path: str, body: Any = None, *, account: str | None = "", token: str | None = "", **more: Any
    ) -> requests.Response:
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token or self.token}"
        if account is not None and (account or self.account_uid):
            headers["X-Payment-Account-Uid"] = account or self.account_uid
        if body is not None:
            more["json"] = body
        return self.session.request(method, self.address.api_url + path, headers=headers, timeout=10, **more)

    def get(self, path: str, **more: Any) -> Any:
        answer = self("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, status: int, method: str, path: str, body: Any = None, code: str = "", **more: Any) -> Any:
        """Expect the documented error object under `status`."""
        answer = self(method, path, body, **more)
        assert answer.status_code == status, f"{answer.status_code} {answer.text}"
        error = answer.json()
        assert {"code", "message", "request_id"} <= set(error)
        assert error["request_id"] == answer.headers["X-Request-Id"]
        assert not code or error["code"] == code, error
        return error

    def close(self) -> None:
        self.session.close()


def stand_still(sandbox: Sandbox) -> None:
    """From now on only ``advance`` moves the platform's clock."""
    clock, moment = sandbox.platform.clock, sandbox.platform.clock.now() - sandbox.platform.clock._offset
    clock.now = lambda: moment + clock._offset  # type: ignore[method-assign]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as platform, platform.serve():
        yield platform


@pytest.fixture
def account(sandbox: Sandbox) -> dict[str, Any]:
    return sandbox.add_account()


@pytest.fixture
def call(sandbox: Sandbox, account: dict[str, Any]) -> Iterator[Caller]:
    assert sandbox.address
    caller = Caller(sandbox.address, account["uid"])
    yield caller
    caller.close()


@pytest.fixture
def customer(sandbox: Sandbox, account: dict[str, Any]) -> dict[str, Any]:
    return sandbox.add_customer(account["uid"], reference_id="CUST-1", name="Pat Example")


def card(last4: str = "1111", **more: Any) -> dict[str, Any]:
    """The vendor's sample of a card in a payment."""
    return {
        "payment_method_type": "credit",
        "credit": {
            "fingerprint": "tok_sample",
            "last4": last4,
            "exp_month": 12,
            "exp_year": 2040,
            "bin": "411111",
            "holder_name": "Pat Example",
            **more,
        },
    }


def bank(**more: Any) -> dict[str, Any]:
    return {
        "payment_method_type": "ach",
        "ach": {
            "routing_number": "021000021",
            "account_number_suffix": "9992",
            "account_type": "checking",
            "bank_name": "Example Bank",
            "holder_name": "Pat Example",
            "fingerprint": "tok_bank",
            **more,
        },
    }


def wallet(method: dict[str, Any]) -> dict[str, Any]:
    return {
        "payment_method_type": f"wallet_{method['payment_method_type']}",
        "wallet": {"saved_payment_method_uid": method["saved_payment_method_uid"]},
    }


def validation(**more: Any) -> dict[str, Any]:
    return {
        "base_amount": 14_227,
        "tax_amount": 0,
        "currency": "USD",
        "reference_id": "UB-1",
        "payment_method": card(),
        **more,
    }


def capture_body(payment: dict[str, Any], method: dict[str, Any]) -> dict[str, Any]:
    """The body of a capture (A9): the validated amounts and the original request object."""
    names = (
        "base_amount", "tax_amount", "processing_fee_amount", "total_amount", "currency", "reference_id",
    )  # fmt: skip
    return {**{name: payment[name] for name in names}, "payment_method": method}
