"""SQLite for ``DatabaseCache`` in tests.

The suite runs on the demo's kind of cache, a table in a SQLite file of its own. To a test it is a
cache: it may be used without the ``django_db`` mark, is never wrapped in the test's transaction
(which would lock other threads out), and exists from the first use.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.sqlite3 import base, creation
from django.test.testcases import _DatabaseFailure

TABLE = """CREATE TABLE IF NOT EXISTS "cache"
    ("cache_key" varchar(255) NOT NULL PRIMARY KEY, "value" text NOT NULL, "expires" datetime NOT NULL)"""


class DatabaseCreation(creation.DatabaseCreation):
    def create_test_db(self, *args: Any, **kwargs: Any) -> str:
        return str(self.connection.settings_dict["NAME"])

    def destroy_test_db(self, *args: Any, **kwargs: Any) -> None:
        self.connection.close()


class _Allowed:
    """Stands where Django's test case puts a failure, and lets the call through."""

    def __init__(self, wrapped: Any) -> None:
        self.wrapped = wrapped

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.wrapped(*args, **kwargs)


class DatabaseWrapper(base.DatabaseWrapper):
    creation_class = DatabaseCreation

    def ensure_connection(self) -> None:
        # pytest-django puts its guard into the base class' method.
        if self.connection is None:
            with self.wrap_database_errors:
                self.connect()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, _Allowed(value.wrapped) if isinstance(value, _DatabaseFailure) else value)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        connection.execute(TABLE)
        return connection
