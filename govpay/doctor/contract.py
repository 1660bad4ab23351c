"""Check of the platform's answers: unknown properties and values, and wrong times."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from govpay.doctor.findings import CheckContext, Finding, Level
from govpay.models import ContractNotice
from govpay.sync.contract import AHEAD, MENDED, RESTORED, knows

#: Maximum number of notices that are listed one by one.
MAX_LISTED_NOTICES = 20


def check_contract(context: CheckContext) -> Iterator[Finding]:
    """Report properties and values in the platform's answers that this package does not know."""
    # An upgrade may know some of them by now. The table is small.
    rows = [row for row in ContractNotice.objects.order_by("-last_seen", "-id") if not knows(row)]
    if not rows:
        yield Finding("contract", Level.OK, _("Nothing unknown was seen in the platform's answers."))
    hint = _("The last document with it is stored. If a newer version of govpay does not know it either, report it.")
    for row in rows[:MAX_LISTED_NOTICES]:
        told = {"name": row.name, "value": row.value, "route": row.route, "count": row.count}
        told |= {"first": date_format(row.first_seen, "Y-m-d"), "last": date_format(row.last_seen, "Y-m-d")}
        words, cure = _notice_words(row) or (
            _("Unknown value %(value)s of %(name)s (%(route)s), %(count)d times from %(first)s to %(last)s.")
            if row.value
            else _("Unknown property %(name)s (%(route)s), %(count)d times from %(first)s to %(last)s."),
            hint,
        )
        yield Finding("contract", Level.WARNING, words % told, cure, str(row))
    if len(rows) > MAX_LISTED_NOTICES:
        what = _("There are %(count)d of them in all.") % {"count": len(rows)}
        yield Finding("contract", Level.WARNING, what, _("The contract notices in the admin list them."))


def _notice_words(row: ContractNotice) -> tuple[str, str] | None:
    """Return text and hint for a notice about wrong timestamps or mended values; ``None`` for other notices."""
    if row.value == MENDED:
        words = _("Values that no column takes (%(name)s, %(route)s), %(count)d times from %(first)s to %(last)s.")
        return words, _("The rows are kept, with the text mended or cut; each row names such properties.")
    if row.value == RESTORED:
        words = _("Older content than before (%(route)s), %(count)d times from %(first)s to %(last)s.")
        return words, _(
            "The platform was probably restored from a backup. Run govpay_sync --full and see the review queue."
        )
    if row.value == AHEAD:
        words = _("Times in the future (%(name)s, %(route)s), %(count)d changes from %(first)s to %(last)s.")
        return words, _("A clock was wrong; see the check of the clock. A full sync brings such rows up to date.")
    return None
