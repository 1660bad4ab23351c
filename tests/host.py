"""A host site's receivers, for workers that a test starts: what they hear is written into a table of their own."""

from __future__ import annotations

from typing import Any

from django.db import connection

from govpay import signals


def hear(name: str) -> Any:
    def receive(*, row: Any, source: str, **_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO tests_heard (name, uid, source) VALUES (%s, %s, %s)",
                [name, str(getattr(row, "uid", row.pk)), source],
            )

    return receive


#: Kept here, since signals hold their receivers weakly.
RECEIVERS = {name: hear(name) for name in signals.BY_NAME}
for _name, _receiver in RECEIVERS.items():
    signals.BY_NAME[_name].connect(_receiver)
