"""The kinds of objects in the store, and for each its table, id property and filterable properties."""

from __future__ import annotations

from dataclasses import dataclass

TEXT, MOMENT, WHOLE, NUMBER, YES_NO = "text", "moment", "whole", "number", "yes_no"


@dataclass(frozen=True)
class Kind:
    """One kind of object, and how it is stored.

    `properties`: the scalar properties of the document that `$filter` and `$orderby` may use (A4), with their types.
    `by`: additional indexed columns. Every kind is indexed by `updated_at, uid`, and by `uid` within its account.
    """

    name: str
    table: str
    properties: dict[str, str]
    by: tuple[str, ...] = ()
    id_property: str = "uid"
    account_scoped: bool = True

    @property
    def columns(self) -> list[str]:
        """The column names of this kind's table; `uid` is the first."""
        return ["uid", "account_uid", "due_at", *(name for name in self.properties if name != "uid"), "private", "doc"]


def _properties(texts: str, **others: str) -> dict[str, str]:
    named = {"uid": TEXT, **dict.fromkeys(texts.split(), TEXT), **others}
    return {**named, "created_at": MOMENT, "updated_at": MOMENT}


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "client",
            "clients",
            _properties("customer_id name timezone subdomain"),
            by=("name",),
            account_scoped=False,
        ),
        Kind(
            "account",
            "accounts",
            _properties(
                "client_id name processor external_account_id external_merchant_id callback_url",
                active=YES_NO,
                enable_ach=YES_NO,
                enable_credit_card=YES_NO,
                webhook_enabled=YES_NO,
                minimum_payment_amount=NUMBER,
                maximum_payment_amount=NUMBER,
            ),
            by=("external_account_id",),
            account_scoped=False,
        ),
        Kind(
            "customer",
            "customers",
            _properties("reference_id name email default_payment_method_uid"),
            by=("reference_id",),
        ),
        Kind(
            "method",
            "methods",
            _properties("customer_uid payment_method_type", is_default=YES_NO),
            by=("customer_uid",),
            id_property="saved_payment_method_uid",
        ),
        Kind(
            "payment",
            "payments",
            _properties(
                "reference_id customer_uid currency status session_id decline_code",
                base_amount=WHOLE,
                tax_amount=WHOLE,
                processing_fee_amount=WHOLE,
                total_amount=WHOLE,
                refunded_amount=WHOLE,
                captured_at=MOMENT,
            ),
            by=("reference_id",),
        ),
        Kind(
            "transaction",
            "transactions",
            _properties(
                "payment_uid type currency status reference_id processor_transaction_id reason reason_code",
                amount=WHOLE,
            ),
            by=("payment_uid", "reference_id"),
        ),
        Kind("terminal", "terminals", _properties("name serial_number model status payment_account_uid")),
        Kind(
            "session",
            "sessions",
            _properties("status scope currency customer_id", amount=WHOLE),
            id_property="session_id",
        ),
    )
}


def kind_named(name: str) -> Kind:
    """Return the kind for a name such as `payment` or `payments`. Raises KeyError for an unknown name."""
    return KINDS[name if name in KINDS else name.removesuffix("s")]
