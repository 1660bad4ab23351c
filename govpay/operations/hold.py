"""The hold: after a restore from a backup, operations are refused until every list was read in full."""

from __future__ import annotations

import datetime as dt

from django.utils.translation import gettext as _

from govpay.exceptions import OperationsHeld
from govpay.models import Heartbeat

#: Name of the ``Heartbeat`` row with the time when the restore was announced. It is deleted when the hold ends.
NAME = "restored"


def held_since() -> dt.datetime | None:
    """Return the time when the restore was announced, or None when operations are not held."""
    return Heartbeat.objects.filter(name=NAME).values_list("started_at", flat=True).first()


def demand_not_held() -> None:
    """Raises ``OperationsHeld`` during the hold: an operation that the restored database lacks could be done twice."""
    if held_since() is not None:
        raise OperationsHeld(
            _(
                "Nothing was sent: this site was restored from a backup, and nothing is sent until everything was read "
                "from the platform again (govpay_restored)."
            )
        )
