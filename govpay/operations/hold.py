"""Whether operations are held: after this database was restored from a backup, until everything was read again."""

from __future__ import annotations

import datetime as dt

from django.utils.translation import gettext as _

from govpay.exceptions import OperationsHeld
from govpay.models import Heartbeat

#: The row that remembers when the restore was announced; it is deleted once everything was read.
NAME = "restored"


def held_since() -> dt.datetime | None:
    """When the restore was announced whose lists were not all read yet; None when nothing is held."""
    return Heartbeat.objects.filter(name=NAME).values_list("started_at", flat=True).first()


def demand_not_held() -> None:
    """Raises ``OperationsHeld`` while operations are held: what this database forgot could be done twice."""
    if held_since() is not None:
        raise OperationsHeld(
            _(
                "Nothing was sent: this site was restored from a backup, and nothing is sent until everything was read "
                "from the platform again (govpay_restored)."
            )
        )
