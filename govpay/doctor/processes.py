"""Whether a worker and beat are alive, by the signs that they leave."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils import timezone
from django.utils.translation import gettext as _

from govpay.doctor.findings import Finding, Level, span
from govpay.doctor.signs import BEAT, SILENCE, WORKER
from govpay.doctor.visit import Visit
from govpay.models import Heartbeat, PaymentAccount


def check_worker(visit: Visit) -> Iterator[Finding]:
    cure = _("Start a worker (celery -A your_project worker), and see whether it reaches the broker.")
    yield _judged("worker", WORKER, cure)


def check_beat(visit: Visit) -> Iterator[Finding]:
    """A tick that no worker carries out leaves no sign either."""
    cure = _("Start beat (celery -A your_project beat) with govpay.schedule.BEAT_SCHEDULE in its beat_schedule.")
    yield _judged("beat", BEAT, cure)


def _judged(check: str, name: str, cure: str) -> Finding:
    row, now = Heartbeat.objects.filter(name=name).first(), timezone.now()
    if row is None:
        # A site that was set up a moment ago may have started none yet.
        level = Level.ERROR if PaymentAccount.objects.filter(synced_at__lt=now - SILENCE).exists() else Level.WARNING
        return Finding(check, level, _("No sign of it was ever seen."), cure)
    age = now - row.last_seen
    told = {"age": span(age.total_seconds()), "host": row.host}
    if age > SILENCE:
        what = _("The last sign came %(age)s ago, from %(host)s.") % told
        return Finding(check, Level.ERROR, what, cure)
    told["time"] = span((now - row.started_at).total_seconds())
    what = _("The last sign came %(age)s ago, from %(host)s; without a gap for %(time)s.") % told
    return Finding(check, Level.OK, what)
