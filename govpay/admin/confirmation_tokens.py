"""The signed token of a confirmation form: it holds the user, the action, the rows and the amounts shown."""

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
#: Lifetime of a token in seconds: how long a confirmation page can be submitted.
LIFETIME = 3600


class TokenRefused(Exception):
    """The token was not made for this user, action and choice of rows, or it is too old."""


@dataclass(frozen=True)
class ShownPayment:
    """The snapshot of one payment that the page showed. Amounts are in minor units."""

    status: str
    refundable: int
    currency: str
    total: int | None
    #: Key and amount of an earlier operation that was not executed and is tried again.
    retry: str = ""
    retry_amount: int | None = None
    #: Whether the platform may still execute that operation. Then another amount is a second refund.
    at_stake: bool = False

    @classmethod
    def of(cls, payment: Payment, earlier: Operation | None = None) -> ShownPayment:
        """Make a snapshot. Needs ``with_pending_refunds``. ``earlier`` is the operation that was not executed."""
        shown = (payment.status, payment.refundable_amount, payment.currency, payment.total_amount)
        if earlier is None:
            return cls(*shown)
        return cls(*shown, str(earlier.key), earlier.amount, operations.is_at_stake(earlier))

    def seen(self) -> operations.Snapshot:
        """Return the snapshot for the operation. The operation compares it with the locked row."""
        return operations.Snapshot(self.status, self.refundable, self.total, self.currency)


@dataclass(frozen=True)
class ConfirmationToken:
    """The token of one page. ``shown`` holds the payments that the action applies to, by primary key."""

    key: uuid.UUID
    ids: tuple[int, ...]
    shown: Mapping[int, ShownPayment]

    def key_for(self, payment: Payment) -> uuid.UUID:
        """Return the key of the operation. The same form sent twice has the same keys, so the action runs only once."""
        return self.key if len(self.ids) == 1 else uuid.uuid5(self.key, payment.uid)


def sign(user: Any, action: str, ids: Sequence[int], shown: Mapping[int, ShownPayment]) -> str:
    """Return a new signed token. Its content is not encrypted, because the page shows the same data."""
    rows = [[pk, *astuple(row)] for pk, row in shown.items()]
    content = [str(user.pk), action, list(ids), uuid.uuid4().hex, rows]
    return signing.dumps(content, salt=SALT, compress=True)


def read(text: str, user: Any, action: str, ids: Sequence[int]) -> ConfirmationToken:
    """Read a token that ``sign`` made.

    Raises ``TokenRefused`` if the signature is wrong or too old, or if user, action or chosen rows are different.
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
