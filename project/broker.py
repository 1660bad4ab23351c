"""The demo's message broker: kombu's file-system transport, with messages that are written atomically.

It needs no server. It deletes a message when a worker receives it, so that a crash loses the message; the tasks run
every minute and do that work then. In production set ``CELERY_BROKER_URL``.
"""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps
from kombu.utils.scheduling import FairCycle

#: The name under which kombu finds the transport below.
SCHEME = "demo-files"
URL = f"{SCHEME}://localhost"


class InOrder(FairCycle):
    """Takes from the first queue that has a message, in the order in which the worker names its queues (``-Q``)."""

    def get(self, callback: Any, **options: Any) -> Any:
        self.pos = 0
        return super().get(callback, **options)


class Channel(filesystem.Channel):
    """Writes each file atomically. kombu itself writes under the final name, so a reader could get half of a file."""

    def _reset_cycle(self) -> None:
        self._cycle = InOrder(self._get_and_deliver, self._active_queues, Empty)

    # kombu's own classes use different names for the second argument.
    def _put(self, queue: str, payload: Any, **_: Any) -> None:  # type: ignore[override]
        name = f"{int(time.time() * 1000)}_{uuid.uuid4()}.{queue}.msg"
        _write(Path(self.data_folder_out) / name, payload)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        file = self._exchange_file(exchange)
        binding = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        with (self.control_folder / "lock").open("ab") as lock:
            filesystem.lock(lock, filesystem.LOCK_EX)  # the system releases it when the file is closed
            table = self.get_table(exchange)
            if binding not in table:
                _write(file, [binding, *table])


def _write(file: Path, content: Any) -> None:
    """Create or replace the file atomically."""
    hidden = file.with_name(f".{uuid.uuid4()}.part")
    hidden.write_bytes(str_to_bytes(dumps(content)))
    os.replace(hidden, file)


class Transport(filesystem.Transport):
    Channel = Channel


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"


def transport_options() -> dict[str, object]:
    """Create the folders under ``var/`` and return the transport's options. Both ends of the queue use one folder."""
    queue = settings.VAR_DIR / "queue"
    control = settings.VAR_DIR / "queue-control"
    for folder in (queue, control):
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(queue),
        "data_folder_out": str(queue),
        "control_folder": str(control),
        "polling_interval": 0.25,
    }
