"""People in rows: the name and the ID of a user stay in the row after the user is deleted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

NAME_LENGTH, ID_LENGTH = 255, 64


def kept_name() -> Any:
    """Return a column with the username of the person, as it was when the row was written."""
    # The database has the default too, because processes of the previous release do not know the column.
    return models.CharField(
        _("name of the user"), max_length=NAME_LENGTH, blank=True, default="", db_default="", editable=False
    )


def kept_id() -> Any:
    """Return a column with the primary key of the person, as text."""
    return models.CharField(
        _("ID of the user"), max_length=ID_LENGTH, blank=True, default="", db_default="", editable=False
    )


def kept(column: str, user: Any) -> dict[str, str]:
    """Return the two columns that keep ``user``: ``<column>_name`` and ``<column>_user_id``. Empty without a user."""
    known = getattr(user, "pk", None) is not None
    return {
        f"{column}_name": str(user.get_username())[:NAME_LENGTH] if known else "",
        f"{column}_user_id": str(user.pk)[:ID_LENGTH] if known else "",
    }


def person(column: str, user: Any) -> dict[str, Any]:
    """Return all columns of a person: the foreign key ``column`` and what is kept. All are empty without a user."""
    known = getattr(user, "pk", None) is not None
    return {column: user if known else None, **kept(column, user)}


def count_kept(users: Iterable[Any]) -> list[tuple[str, int]]:
    """Return for each model how many rows keep the name of one of ``users``. Runs a statement for each such model."""
    numbers = [user.pk for user in users]
    counts = []
    for model in apps.get_app_config("govpay").get_models():
        names = {field.name for field in model._meta.concrete_fields}
        people = [name.removesuffix("_user_id") for name in names if name.endswith("_user_id")]
        theirs = Q()
        for column in people:
            theirs |= Q(**{f"{column}_user_id__in": list(map(str, numbers))})
            if column in names:
                theirs |= Q(**{f"{column}__in": numbers})
        if people:
            counts.append((str(model._meta.verbose_name_plural), model._default_manager.filter(theirs).count()))
    return [(name, count) for name, count in counts if count]


def username_of(row: models.Model, column: str) -> str:
    """Return the username of the person in ``column``, or an empty string. Read the row with the user joined."""
    # Processes of the previous release write rows without it.
    user = getattr(row, column)
    return str(getattr(row, f"{column}_name")) or (str(user.get_username()) if user else "")


def user_id_of(row: models.Model, column: str) -> str:
    """Return the primary key of the person in ``column`` as text, or an empty string."""
    number = getattr(row, f"{column}_id")
    return str(getattr(row, f"{column}_user_id")) or ("" if number is None else str(number))


def name_of(row: models.Model, column: str) -> str:
    """Return the person in ``column`` as staff see it, or an empty string. Read the row with the user joined."""
    user = getattr(row, column)
    if user is not None:
        return str(user)
    name, number = getattr(row, f"{column}_name"), getattr(row, f"{column}_user_id")
    if not name:
        return ""
    return gettext("%(name)s (deleted user, ID %(id)s)") % {"name": name, "id": number}
