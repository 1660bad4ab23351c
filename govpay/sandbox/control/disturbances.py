"""Changes that a fault makes on the platform, or to a request, just before the request is carried out."""

from __future__ import annotations

from govpay.sandbox.api import tokens
from govpay.sandbox.calls import Call
from govpay.sandbox.control import direct
from govpay.sandbox.control.faults import Fault
from govpay.sandbox.kinds import KINDS


def disturb(call: Call, fault: Fault) -> None:
    """Apply the fault before the request is carried out.

    It may revoke all tokens, remove the requested object or change rows of the list. The page cap, the refusal of
    options, the delay of a write, the lag of a read and another account are set on the call.
    """
    if fault.revoke:
        tokens.revoke_all(call.platform)
    if fault.gone:
        _remove(call)
    if fault.shift:
        _shift(call, fault.shift)
    if fault.account:
        call.headers["x-payment-account-uid"] = fault.account
    call.page_cap, call.no_options = fault.page_cap, fault.no_options
    call.act_after, call.lag = fault.act_after, fault.lag


def _remove(call: Call) -> None:
    """Return the last object in the path, or None."""
    for segment in reversed(call.path.split("/")):
        for kind in KINDS:
            if segment and call.platform.store.get(kind, segment):
                direct.remove(call.platform, kind, segment)
                return


def _shift(call: Call, count: int) -> None:
    """Touch the rows that changed longest ago: they move to the end of a list sorted by time."""
    last = call.path.rstrip("/").rpartition("/")[2]
    name = next((name for name, kind in KINDS.items() if last in (kind.table, f"payment{kind.table}")), None)
    if name is None:
        return
    scoped = KINDS[name].account_scoped
    where, params = ("account_uid = ?", [call.headers.get("x-payment-account-uid")]) if scoped else ("1", [])
    with call.platform.store.transaction():
        for row in call.platform.store.find(name, where, params, order="updated_at, uid")[:count]:
            direct.touch(call.platform, name, row.uid, {})
