"""Imported before any model: Django is set up, and an empty database can be had."""

from __future__ import annotations

import django

django.setup()


def empty_database() -> None:
    """All tables, and nothing in those that a sync writes to."""
    from django.core.management import call_command  # noqa: PLC0415 - these need the set-up above
    from django.db import connection  # noqa: PLC0415

    from govpay.models import Payment, SyncCursor, SyncRun  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    for model in (SyncCursor, SyncRun, Payment):
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute(f"TRUNCATE {model._meta.db_table}")
            else:
                cursor.execute(f"DELETE FROM {model._meta.db_table}")
