"""Card terminals, read only (A26)."""

from __future__ import annotations

from typing import Any

from govpay.sandbox.answers import Answer
from govpay.sandbox.api.lists import list_page
from govpay.sandbox.calls import Call, SandboxRoute
from govpay.sandbox.errors import not_found
from govpay.sandbox.platform import Platform
from govpay.sandbox.store import StoredRow


def make_terminal(platform: Platform, account_uid: str, **given: Any) -> StoredRow:
    at = platform.clock.stamp()
    doc = {
        "uid": platform.new_uid("term"),
        "name": "",
        "serial_number": "",
        "model": "",
        "status": "online",
        "payment_account_uid": account_uid,
        **given,
        "created_at": at,
        "updated_at": at,
    }
    return platform.store.put(StoredRow("terminal", doc, account_uid))


def list_terminals(call: Call) -> Answer:
    return list_page(call, "terminal")


def read_terminal(call: Call, uid: str) -> Answer:
    row = call.platform.store.get("terminal", uid, call.account_uid) or not_found("terminal")
    return Answer(200, row.doc)


ROUTES = [
    SandboxRoute("GET", "/api/terminals", list_terminals),
    SandboxRoute("GET", "/api/terminals/<uid>", read_terminal),
]
