"""The consent of a bank account's owner to a debit. A capture stores it in its journal row."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.utils import timezone
from django.utils.translation import gettext as _

from govpay.exceptions import OperationRefused
from govpay.models import Operation
from govpay.models.choices import SecCode
from govpay.operations.lookups import CLOCKS_DIFFER


@dataclass(frozen=True)
class Authorization:
    """The consent of a bank account's owner to a debit. The ``actor`` of the capture confirms that it was given."""

    sec_code: str
    text: str
    #: Has a time zone and does not lie in the future.
    accepted_at: dt.datetime


def check_authorization(given: Authorization) -> None:
    """Raises ``OperationRefused`` for an unknown SEC code, and for a time without a time zone or in the future."""
    if given.sec_code not in SecCode.values:
        raise OperationRefused(f"sec_code must be one of {', '.join(SecCode.values)}.", field="sec_code")
    at = "authorization.accepted_at"
    if timezone.is_naive(given.accepted_at):
        raise OperationRefused(_("accepted_at needs a time zone."), field=at)
    if given.accepted_at > timezone.now() + CLOCKS_DIFFER:
        raise OperationRefused(_("accepted_at must not be in the future."), field=at)


def authorization_of(operation: Operation) -> Authorization | None:
    """Return the authorization that was passed to the capture ``operation``, or None."""
    if not operation.sec_code or operation.authorized_at is None:
        return None
    return Authorization(operation.sec_code, operation.authorization_text, operation.authorized_at)
