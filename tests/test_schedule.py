"""``govpay.schedule``: each task has a queue, and a worker serves the queues by urgency."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, current_app
from celery.beat import Scheduler
from kombu import Queue
from kombu.utils.scheduling import cycle_by_name

from govpay import schedule, tasks
from tests.processes import ROOT, bare_environment

HOSTS = Path(__file__).resolve().parents[1] / "docs" / "hosts.md"


def test_every_task_has_a_queue() -> None:
    ours = {name for name in current_app.tasks if name.startswith("govpay.")}
    assert ours.issuperset(tasks.TICKS)
    assert ours == set(schedule.TASK_ROUTES)
    assert {route["queue"] for route in schedule.TASK_ROUTES.values()} == set(schedule.QUEUES)


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("reconcile_operations", "govpay.money"),
        ("refresh_token", "govpay.money"),
        ("heartbeat", "govpay.money"),
        ("process_event", "govpay.events"),
        ("send_outstanding", "govpay.events"),
        ("sync_all", "govpay.sync"),
        ("sync_account", "govpay.sync"),
        ("process_slow_event", "govpay.sync"),
    ],
)
def test_the_demo_sends_a_task_to_its_queue(task: str, queue: str) -> None:
    route = current_app.amqp.router.route({}, f"govpay.tasks.{task}")
    assert route["queue"].name == queue


def test_a_worker_without_a_choice_serves_all_queues_the_most_urgent_first() -> None:
    """The old default queue stays, because messages may wait in it during an upgrade."""
    assert list(current_app.amqp.queues.consume_from) == [*schedule.QUEUES, "celery"]


def test_the_schedule_names_no_queue() -> None:
    """A site that sets no routes keeps everything in Celery's default queue, where its workers are."""
    assert all(set(entry["options"]) == {"expires", "expire_seconds"} for entry in schedule.BEAT_SCHEDULE.values())


@pytest.mark.parametrize("name", schedule.BEAT_SCHEDULE)
def test_a_tick_of_beat_expires(name: str) -> None:
    """Celery's own beat sends each entry as it is; the message has an expiry before the next tick."""
    site = Celery("site", broker="memory://", set_as_current=False)
    site.conf.beat_schedule = {name: schedule.BEAT_SCHEDULE[name]}
    beat = Scheduler(site, lazy=True)
    beat.setup_schedule()
    with site.connection_for_write() as connection:
        connection.default_channel.queue_declare("celery")
        connection.default_channel.queue_purge("celery")
        started = datetime.now(UTC)
        beat.apply_async(beat.schedule[name], advance=False)
        message = connection.default_channel.basic_get("celery", no_ack=True)
    expires = datetime.fromisoformat(message.headers["expires"])
    assert 0 < (expires - started).total_seconds() <= schedule.TICK


def test_django_celery_beat_keeps_the_expiry(tmp_path: Path) -> None:
    """Its importer writes the schedule into its tables and drops the option ``expires``."""
    pytest.importorskip("django_celery_beat", reason="django-celery-beat declares Django < 6.1")
    done = subprocess.run(
        [sys.executable, "-c", DATABASE_BEAT, str(tmp_path / "site.sqlite3")],
        cwd=ROOT,
        env=bare_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expiries = json.loads(done.stdout)
    assert expiries == {name: [schedule.EXPIRES, schedule.EXPIRES] for name in schedule.BEAT_SCHEDULE}


DATABASE_BEAT = """
import json, sys
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django_celery_beat"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    USE_TZ=True,
)
django.setup()
from celery import Celery
from django.core.management import call_command
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler
from govpay.schedule import BEAT_SCHEDULE
call_command("migrate", verbosity=0)
site = Celery("site", broker="memory://")
site.conf.beat_schedule = {**BEAT_SCHEDULE}
sent = DatabaseScheduler(app=site).schedule
stored = PeriodicTask.objects.filter(task__startswith="govpay.")
print(json.dumps({row.name: [row.expire_seconds, sent[row.name].options["expires"]] for row in stored}))
"""


def test_redis_serves_the_most_urgent_queue_first_whatever_was_served_last() -> None:
    """The name in the options leads kombu to the class."""
    cycle: Any = cycle_by_name("govpay.schedule.UrgentFirst")()
    cycle.update(["other", "govpay.sync", "govpay.events", "govpay.money"])
    for _ in range(2):
        assert cycle.consume(4) == ["govpay.money", "govpay.events", "govpay.sync", "other"]
        cycle.rotate("govpay.money")


def test_a_site_keeps_its_own_queues_and_its_renamed_default_queue() -> None:
    """The lines for it in docs/hosts.md."""
    site = Celery("site", set_as_current=False)
    site.conf.task_default_queue = "city"
    site.conf.task_queues = (Queue("city"), Queue("letters"), *schedule.TASK_QUEUES)
    site.conf.task_routes = {**schedule.TASK_ROUTES}
    assert site.amqp.router.route({}, "city.tasks.any")["queue"].name in site.amqp.queues.consume_from
    assert set(site.amqp.queues.consume_from) == {"city", "letters", "celery", *schedule.QUEUES}
    assert "(*your_queues, *TASK_QUEUES)" in HOSTS.read_text()
