"""Whether the configured keys read what was sealed before."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.utils.translation import gettext as _

from govpay.doctor.findings import Finding, Level, listed
from govpay.doctor.visit import Visit
from govpay.exceptions import EncryptionError
from govpay.models.sealed import batches, sealed_columns
from govpay.security.encryption import resealed

#: Rows that are named; the rest is counted.
NAMED = 20

#: Seconds for all tables together.
SCAN_TIME = 5.0


def check_keys(visit: Visit) -> Iterator[Finding]:
    end = time.monotonic() + SCAN_TIME
    looked = older = lost_all = 0
    for model, names in sealed_columns():
        lost: dict[str, list[object]] = {name: [] for name in names}
        for rows in batches(model, names):
            for pk, *values in rows:
                for name, sealed in zip(names, values, strict=True):
                    if sealed is None:
                        continue
                    looked += 1
                    try:
                        older += resealed(sealed.token) is not None
                    except EncryptionError:
                        lost[name].append(pk)
            if time.monotonic() > end:
                break
        for name, pks in lost.items():
            if pks:
                lost_all += len(pks)
                told = {"count": len(pks), "rows": listed(pks, NAMED)}
                what = _("%(count)d values cannot be read with any key; rows %(rows)s.") % told
                cure = _("Put the key that wrote them back at the end of ENCRYPTION_KEYS, or let them be made anew.")
                yield Finding("encryption", Level.ERROR, what, cure, f"{model._meta.object_name}.{name}")
    if older:
        what = _("%(count)d values were written with an older key.") % {"count": older}
        yield Finding("encryption", Level.WARNING, what, _("Run govpay_rotate_keys before that key is taken out."))
    if time.monotonic() > end:
        what = _("Only the first %(count)d values were looked at, to end in time.") % {"count": looked}
        yield Finding("encryption", Level.OK, what)
    elif not older and not lost_all:
        what = _("All %(count)d sealed values can be read with the newest key.") % {"count": looked}
        yield Finding("encryption", Level.OK, what)
