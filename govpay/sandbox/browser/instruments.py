"""The payment instrument in a browser's request: a new token with its details, or a saved method's uid."""

from __future__ import annotations

from govpay.sandbox.api.methods import is_token
from govpay.sandbox.browser.vault import details_of
from govpay.sandbox.errors import invalid, malformed
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc, integer, shape, text
from govpay.sandbox.store import StoredRow

CARD = shape(
    last4=text(required=True, pattern=r"\d{4}"),
    exp_month=integer(required=True, low=1, high=12),
    exp_year=integer(required=True, low=2000, high=2099),
    bin=text(pattern=r"\d{6,8}"),
    card_brand=text(),
)
ACH = shape(
    bank_name=text(empty=True),
    routing_number=text(required=True, pattern=r"\d{9}"),
    account_number_suffix=text(required=True, pattern=r"\d{1,6}"),
    account_type=text(required=True, choices=("checking", "savings")),
)
# [/api/operations/v1hosted-sessionssessionidconfirm/]; the property names are those of its example.
DETAILS = shape(card=CARD.part(), ach=ACH.part()).part()
TOKEN = text(required=True, rule=is_token)
BILLING_NAMES = ("cardholder", "zip", "street", "street2", "city", "state", "country", "phone", "email")
BILLING = shape(**dict.fromkeys(BILLING_NAMES, text(empty=True))).part()

# For each payment method type of direct payments, its name in sessions (api-facts, section 6.9).
METHOD_OF = {"credit": "card", "ach": "ach"}
# The card used for Apple Pay: before its sheet is open there is only a representative card [/guides/events/].
_DEVICE_CARD = {"last4": "1111", "exp_month": 12, "exp_year": 2040, "bin": "411111"}
# Values that are sent twice must be equal; brand and bank name are not compared.
_COMPARED = ("last4", "exp_month", "exp_year", "bin", "routing_number", "account_number_suffix", "account_type")


def wire(platform: Platform, session: StoredRow, body: Doc) -> Doc:
    """Return the `payment_method` of a direct payment for the browser's `processor_token` and details."""
    token, method = body["processor_token"], body["method"]
    if token.lower().startswith("spm_"):
        return _saved(platform, session, token, method)
    kind = "ach" if method == "ach" else "card"
    details = _details(platform, session, token, kind, body.get("payment_method", {}).get(kind))
    if details is None and method == "apple_pay":
        details = dict(_DEVICE_CARD)
    if details is None:
        malformed(f"payment_method.{kind} is required.")
    details["fingerprint"] = token
    holder = body.get("billing_details", {}).get("cardholder", "").strip()
    if holder:
        details["holder_name"] = holder
    if details.get("card_brand"):
        details["card_brand"] = details["card_brand"].upper()
    name = "ach" if kind == "ach" else "credit"
    return {"payment_method_type": name, name: {key: value for key, value in details.items() if value != ""}}


def _saved(platform: Platform, session: StoredRow, uid: str, method: str) -> Doc:
    """Return the `payment_method` for a saved method, whose uid is in `processor_token` (A31)."""
    row = platform.store.get("method", uid, session.account_uid)
    if row is None or row.doc["customer_uid"] != session.doc["customer_id"]:
        invalid("processor_token names no saved method of this customer.")
    kind = row.doc["payment_method_type"]
    if METHOD_OF[kind] != method:
        invalid("method is not that of the saved method.")
    return {"payment_method_type": f"wallet_{kind}", "wallet": {"saved_payment_method_uid": uid}}


def _details(platform: Platform, session: StoredRow, token: str, kind: str, given: Doc | None) -> Doc | None:
    known = details_of(platform, session, token, kind)
    if known is None or given is None:
        return dict(given) if given is not None else known
    different = [name for name in _COMPARED if name in given and given[name] != known[name]]
    if different:
        invalid(f"payment_method.{kind} is not what processor_token stands for: {', '.join(different)}.")
    return {**given, **known}
