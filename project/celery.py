"""The demo site's Celery app. Tasks run in workers through real queues, never eagerly."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = Celery("project")


def configuration() -> dict[str, object]:
    """Return Celery's configuration. Celery calls this when it first needs it, so importing needs no settings."""
    from govpay.schedule import BEAT_SCHEDULE, TASK_QUEUES, TASK_ROUTES  # noqa: PLC0415 - needs the settings
    from project.broker import URL, transport_options  # noqa: PLC0415 - needs the settings

    serverless = not settings.CELERY_BROKER_URL
    return {
        "broker_url": URL if serverless else settings.CELERY_BROKER_URL,
        "broker_transport_options": transport_options() if serverless else _of_broker(settings.CELERY_BROKER_URL),
        "broker_connection_retry_on_startup": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_ignore_result": True,
        "task_always_eager": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "worker_enable_remote_control": False,
        "worker_prefetch_multiplier": 1,
        "beat_schedule": BEAT_SCHEDULE,
        "task_queues": TASK_QUEUES,
        "task_routes": TASK_ROUTES,
        "beat_schedule_filename": str(settings.VAR_DIR / "beat"),
        "timezone": "UTC",
    }


def _of_broker(url: str) -> dict[str, object]:
    """Return the options that make one worker on Redis serve the queues by urgency. RabbitMQ has none for it."""
    return {"queue_order_strategy": "govpay.schedule.UrgentFirst"} if url.startswith("redis") else {}


app.add_defaults(configuration)
app.autodiscover_tasks()


@setup_logging.connect
def keep_django_logging(**_: object) -> None:
    """Do nothing. A receiver of this signal keeps Celery from replacing the logging of the settings."""
