"""The schedule for Celery beat: ``app.conf.beat_schedule = govpay.schedule.BEAT_SCHEDULE``."""

from __future__ import annotations

from typing import Any

#: Seconds between ticks. The tasks decide themselves what is due.
TICK = 60.0


def _tick(task: str) -> dict[str, Any]:
    return {"task": f"govpay.tasks.{task}", "schedule": TICK, "options": {"expires": 55}}


BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "govpay-refresh-token": _tick("refresh_token"),
    "govpay-sync-all": _tick("sync_all"),
    "govpay-reconcile-operations": _tick("reconcile_operations"),
    "govpay-send-outstanding": _tick("send_outstanding"),
    "govpay-purge-events": _tick("purge_events"),
    "govpay-send-digest": _tick("send_digest"),
    "govpay-heartbeat": _tick("heartbeat"),
}
