"""What the owner of a bank account agreed to, which a capture keeps in the journal."""

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
    """What the owner of a bank account agreed to; ``actor`` is the one who says so."""

    sec_code: str
    text: str
    #: With its time zone, and not in the future.
    accepted_at: dt.datetime


def check_authorization(given: Authorization) -> None:
    """Raises ``OperationRefused`` for one that nobody can have given."""
    if given.sec_code not in SecCode.values:
        raise OperationRefused(f"sec_code must be one of {', '.join(SecCode.values)}.", field="sec_code")
    at = "authorization.accepted_at"
    if timezone.is_naive(given.accepted_at):
        raise OperationRefused(_("accepted_at needs a time zone."), field=at)
    if given.accepted_at > timezone.now() + CLOCKS_DIFFER:
        raise OperationRefused(_("accepted_at lies in the future: nobody has agreed yet."), field=at)


def authorization_of(operation: Operation) -> Authorization | None:
    """What the capture ``operation`` was given."""
    if not operation.sec_code or operation.authorized_at is None:
        return None
    return Authorization(operation.sec_code, operation.authorization_text, operation.authorized_at)
