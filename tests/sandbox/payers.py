"""A payer's browser over plain HTTP: one session and its credential."""

from __future__ import annotations

from typing import Any

from .conftest import Caller

Doc = dict[str, Any]


class Payer:
    """Calls the routes of one session as the component does."""

    def __init__(self, call: Caller, made: Doc) -> None:
        self.call, self.uid, self.secret = call, made["session_id"], made["client_secret"]
        self.root = f"/v1/hosted-sessions/{self.uid}"

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        return self.call(method, self.root + path, body, token=self.secret, account=None, **more)

    def refused(self, status: int, method: str, path: str, body: Any = None, code: str = "", **more: Any) -> Doc:
        options = {"token": self.secret, "account": None, "code": code, **more}
        error: Doc = self.call.refused(status, method, self.root + path, body, **options)
        return error

    def token(self, number: str = "4111 1111 1111 1111", **more: Any) -> Any:
        card = {"number": number, "exp_month": 12, "exp_year": 2040, "cvv": "123", **more}
        return self.call("POST", f"/component/tokens/{self.uid}", {"card": card}, token=self.secret, account=None)

    def bank(self, **more: Any) -> Any:
        ach = {"routing_number": "021000021", "account_number": "4099999992", "account_type": "checking", **more}
        return self.call("POST", f"/component/tokens/{self.uid}", {"ach": ach}, token=self.secret, account=None)

    def card_body(self, number: str = "4111111111111111", **more: Any) -> Doc:
        made = self.token(number).json()
        made.pop("expires_at")
        return {**made, "method": "card", **more}

    def bank_body(self, **more: Any) -> Doc:
        made = self.bank().json()
        made.pop("expires_at")
        return {**made, "method": "ach", **more}

    def pay(self, body: Doc | None = None, key: str = "") -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        return self("POST", "/confirm", body or self.card_body(), headers=headers)
