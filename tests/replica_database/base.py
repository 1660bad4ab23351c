"""A replica that lags for ever. A read of it fails, and is not an error of the database that could be retried."""

from __future__ import annotations

from typing import Any

from django.db.backends.sqlite3 import base, creation


class ReplicaRead(AssertionError):
    """Something has read the replica."""


class DatabaseCreation(creation.DatabaseCreation):
    def create_test_db(self, *args: Any, **kwargs: Any) -> str:
        return str(self.connection.settings_dict["NAME"])

    def destroy_test_db(self, *args: Any, **kwargs: Any) -> None: ...


class DatabaseWrapper(base.DatabaseWrapper):
    creation_class = DatabaseCreation

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        raise ReplicaRead("govpay must read the database that it writes to")
