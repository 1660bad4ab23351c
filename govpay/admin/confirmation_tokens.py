"""The signed key of a confirmation form: who was shown what, for which action, and until when."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from django.core import signing
from django.utils.translation import gettext as _

from govpay import operations
from govpay.models import Operation, Payment

SALT = "govpay.admin.confirmation"
#: How long a confirmation page may lie open, in seconds.
LIFETIME = 3600


class TokenRefused(Exception):
    """The form is not one that we gave to this user for this action, or it is too old."""


@dataclass(frozen=True)
class ShownPayment:
    """What the page said about one payment; amounts in minor units."""

    status: str
    refundable: int
    currency: str
    total: int | None
    #: Key and amount of an earlier operation that was not executed and is tried again here.
    retry: str = ""
    retry_amount: int | None = None
    #: Whether that one may still arrive, so that another amount is a second refund.
    at_stake: bool = False

    @classmethod
    def of(cls, payment: Payment, earlier: Operation | None = None) -> ShownPayment:
        """Needs ``with_pending_refunds``. ``earlier``: the operation that was not executed, if there is one."""
        shown = (payment.status, payment.refundable_amount, payment.currency, payment.total_amount)
        if earlier is None:
            return cls(*shown)
        return cls(*shown, str(earlier.key), earlier.amount, operations.is_at_stake(earlier))

    def seen(self) -> operations.Snapshot:
        """The same, for the operation to hold against the row under its lock."""
        return operations.Snapshot(self.status, self.refundable, self.total, self.currency)


@dataclass(frozen=True)
class ConfirmationToken:
    """One confirmation page. ``shown`` holds the payments that could be done, by primary key."""

    key: uuid.UUID
    ids: tuple[int, ...]
    shown: Mapping[int, ShownPayment]

    def key_for(self, payment: Payment) -> uuid.UUID:
        """The operation's key. The same form sent twice gives the same keys, so it is one action."""
        return self.key if len(self.ids) == 1 else uuid.uuid5(self.key, payment.uid)


def sign(user: Any, action: str, ids: Sequence[int], shown: Mapping[int, ShownPayment]) -> str:
    """The text of a new token, signed. It holds no secret: only what the page shows anyway."""
    rows = [[pk, *astuple(row)] for pk, row in shown.items()]
    content = [str(user.pk), action, list(ids), uuid.uuid4().hex, rows]
    return signing.dumps(content, salt=SALT, compress=True)


def read(text: str, user: Any, action: str, ids: Sequence[int]) -> ConfirmationToken:
    """What ``sign`` wrote.

    Raises ``TokenRefused`` when the signature is wrong or old, or when it is of another user, action or choice of rows.
    """
    try:
        owner, signed_action, chosen, key, rows = signing.loads(text, salt=SALT, max_age=LIFETIME)
    except signing.SignatureExpired:
        raise TokenRefused(
            _("This page lay open for too long, so nothing was sent. Check the figures and confirm again.")
        ) from None
    except (signing.BadSignature, ValueError, TypeError):
        raise TokenRefused(
            _("This form does not come from here, so nothing was sent. Check the figures and confirm again.")
        ) from None
    if (owner, signed_action, chosen) != (str(user.pk), action, list(ids)):
        raise TokenRefused(_("This form was made for somebody else or for other payments, so nothing was sent."))
    shown = {int(pk): ShownPayment(*values) for pk, *values in rows}
    return ConfirmationToken(uuid.UUID(key), tuple(ids), shown)
