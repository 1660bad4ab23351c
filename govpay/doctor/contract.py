"""What answers held that nothing here knows of."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from govpay.doctor.findings import Finding, Level
from govpay.doctor.visit import Visit
from govpay.models import ContractNotice
from govpay.sync.contract import knows

#: Notices that are listed one by one.
LISTED = 20


def check_notices(visit: Visit) -> Iterator[Finding]:
    # An upgrade may have learnt of some since; the table is small.
    rows = [row for row in ContractNotice.objects.order_by("-last_seen", "-id") if not knows(row)]
    if not rows:
        yield Finding("contract", Level.OK, _("Nothing unknown was seen in the platform's answers."))
    cure = _("It is kept with the last document. See whether a newer version of govpay knows it; else report it.")
    for row in rows[:LISTED]:
        told = {"name": row.name, "value": row.value, "route": row.route, "count": row.count}
        told |= {"first": date_format(row.first_seen, "Y-m-d"), "last": date_format(row.last_seen, "Y-m-d")}
        words = (
            _("Unknown value %(value)s of %(name)s (%(route)s), %(count)d times from %(first)s to %(last)s.")
            if row.value
            else _("Unknown property %(name)s (%(route)s), %(count)d times from %(first)s to %(last)s.")
        )
        yield Finding("contract", Level.WARNING, words % told, cure, str(row))
    if len(rows) > LISTED:
        what = _("There are %(count)d of them in all.") % {"count": len(rows)}
        yield Finding("contract", Level.WARNING, what, _("The contract notices in the admin list them."))
