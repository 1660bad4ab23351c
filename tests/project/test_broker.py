"""The demo's broker: each message is complete and delivered once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from kombu import Connection, Consumer, Queue

from govpay.schedule import QUEUES
from project import broker
from tests.processes import ROOT, bare_environment


@pytest.fixture
def options(settings: Any, tmp_path: Path) -> dict[str, object]:
    # Each test has queues of its own: kombu remembers per process which ones it has bound.
    settings.VAR_DIR = tmp_path
    return {**broker.transport_options(), "polling_interval": 0.01}


def test_what_one_process_puts_another_takes_once(options: dict[str, object]) -> None:
    with (
        Connection(broker.URL, transport_options=options) as sender,
        Connection(broker.URL, transport_options=options) as receiver,
    ):
        sender.SimpleQueue("work").put({"number": 1})
        queue = receiver.SimpleQueue("work")
        message = queue.get(timeout=300)
        assert message.payload == {"number": 1}
        message.ack()
        with pytest.raises(queue.Empty):
            queue.get(timeout=0.1)


def test_taking_while_another_is_putting_never_sees_half_a_message(options: dict[str, object]) -> None:
    total = 400

    def put() -> None:
        with Connection(broker.URL, transport_options=options) as connection:
            queue = connection.SimpleQueue("race")
            for number in range(total):
                queue.put({"number": number, "ballast": "x" * 5000})

    sender = threading.Thread(target=put)
    found = []
    with Connection(broker.URL, transport_options=options) as connection:
        queue = connection.SimpleQueue("race")
        sender.start()
        while len(found) < total:
            message = queue.get(timeout=300)
            found.append(message.payload["number"])
            message.ack()
    sender.join()
    assert sorted(found) == list(range(total))


def test_many_processes_that_bind_at_once_lose_nothing(options: dict[str, object]) -> None:
    code = """
import sys
from kombu import Connection, Consumer, Queue
from govpay.schedule import QUEUES
from project import broker
with Connection(broker.URL, transport_options=broker.transport_options()) as connection:
    connection.SimpleQueue("together").put({"number": int(sys.argv[1])})
"""
    environment = {
        **bare_environment(),
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "VAR_DIR": str(settings.VAR_DIR),
    }
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(number)], cwd=ROOT, env=environment) for number in range(4)
    ]
    assert [process.wait(300) for process in started] == [0] * 4
    with Connection(broker.URL, transport_options=options) as connection:
        queue = connection.SimpleQueue("together")
        assert sorted(queue.get(timeout=300).payload["number"] for _ in started) == [0, 1, 2, 3]


def test_message_appears_under_its_name_only_when_it_is_complete(
    options: dict[str, object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    moved: list[str] = []
    replace = broker.os.replace

    def watched(source: Path, target: Path) -> None:
        json.loads(source.read_text())
        assert not target.exists()
        moved.append(target.name)
        replace(source, target)

    monkeypatch.setattr(broker.os, "replace", watched)
    with Connection(broker.URL, transport_options=options) as connection:
        connection.SimpleQueue("whole").put({"number": 1})
    assert moved[-1].endswith(".whole.msg")
    assert [path.name for path in (tmp_path / "queue").iterdir()] == moved[-1:]


def test_a_worker_takes_from_its_queues_in_the_order_of_urgency(options: dict[str, object]) -> None:
    got: list[str] = []

    def take(body: Any, message: Any) -> None:
        got.append(body)
        message.ack()

    with Connection(broker.URL, transport_options=options) as connection:
        for name in reversed(QUEUES):
            queue = connection.SimpleQueue(name)
            queue.put(name)
            queue.put(name)
            queue.close()
        with Consumer(connection.channel(), [Queue(name) for name in QUEUES], callbacks=[take]):
            while len(got) < 6:
                connection.drain_events(timeout=300)
    assert got == [name for name in QUEUES for _ in range(2)]
