"""The schedule for Celery beat, and the queues of the tasks, ready to use in a site's Celery configuration.

``app.conf.beat_schedule = BEAT_SCHEDULE`` starts the ticks. ``app.conf.task_routes = TASK_ROUTES`` sends the tasks to
three queues, so that long reads do not delay operations or events. Without routes all tasks are in Celery's default
queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kombu import Exchange, Queue
from kombu.utils.scheduling import priority_cycle

#: Seconds between ticks. The tasks decide themselves what is due.
TICK = 60.0

#: Seconds after which a tick that no worker has taken is dropped, so that ticks do not pile up in the queue.
EXPIRES = 55

#: Open operations, the token and the heartbeat; webhook events; lists of the platform, and events of slow accounts.
MONEY, EVENTS, SYNC = "govpay.money", "govpay.events", "govpay.sync"

#: The queues, the most urgent first.
QUEUES = (MONEY, EVENTS, SYNC)

#: ``app.conf.task_queues``: a worker without ``-Q`` then serves our queues and Celery's default queue.
TASK_QUEUES = tuple(Queue(name, Exchange(name), routing_key=name) for name in (*QUEUES, "celery"))


def _tick(task: str) -> dict[str, Any]:
    # Celery reads "expires" and ignores the other one; django-celery-beat keeps "expire_seconds" and drops "expires".
    options = {"expires": EXPIRES, "expire_seconds": EXPIRES}
    return {"task": f"govpay.tasks.{task}", "schedule": TICK, "options": options}


BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "govpay-refresh-token": _tick("refresh_token"),
    "govpay-sync-all": _tick("sync_all"),
    "govpay-reconcile-operations": _tick("reconcile_operations"),
    "govpay-send-outstanding": _tick("send_outstanding"),
    "govpay-purge-events": _tick("purge_events"),
    "govpay-send-digest": _tick("send_digest"),
    "govpay-heartbeat": _tick("heartbeat"),
}

TASK_ROUTES: dict[str, dict[str, str]] = {
    f"govpay.tasks.{task}": {"queue": queue}
    for queue, tasks in {
        MONEY: ("reconcile_operations", "refresh_token", "heartbeat"),
        EVENTS: ("process_event", "process_events", "send_outstanding"),
        SYNC: ("sync_all", "sync_account", "process_slow_event", "purge_events", "send_digest"),
    }.items()
    for task in tasks
}


class UrgentFirst(priority_cycle):
    """The order in which a worker with a Redis broker reads its queues: ours, the most urgent first, then all others.

    ``broker_transport_options = {"queue_order_strategy": "govpay.schedule.UrgentFirst"}``. kombu's default reads the
    queues in rotation.
    """

    def consume(self, n: int) -> Sequence[str]:
        order = {name: place for place, name in enumerate(QUEUES)}
        return sorted(self.items[:n], key=lambda name: order.get(name, len(order)))
