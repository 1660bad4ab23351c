"""Account access: which payment accounts a user may see, and which rows of each model belong to them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Self, TypeVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connections, models, router
from django.db.models import Q
from django.db.models.query import ModelIterable
from django.utils.translation import gettext_lazy as _

from govpay import conf

#: Model → field path to the uid of the row's account. Rows without a known account, and all rows of a model with an
#: empty path, are visible only to users who see everything.
ACCOUNT_PATHS: dict[str, str] = {
    "accountaccess": "",
    "client": "accounts__uid",
    "contractnotice": "",
    "customer": "account_id",
    "heartbeat": "",
    "hostedsession": "account_id",
    "note": "account_id",
    "operation": "account_id",
    "outboxsignal": "",
    "payment": "account_id",
    "paymentaccount": "uid",
    "paymentlink": "account_id",
    "savedpaymentmethod": "account_id",
    "synccursor": "account_id",
    "syncrun": "account_id",
    "terminal": "account_id",
    "transaction": "account_id",
    "webhookevent": "account_id",
    "webhooksubscription": "account_id",
}


def account_path(model: type[models.Model]) -> str:
    """Return the account path of ``model``. Raises ``LookupError`` without one, so no model is visible by mistake."""
    name = str(model._meta.model_name)
    if name not in ACCOUNT_PATHS:
        raise LookupError(f"{model.__name__} has no entry in ACCOUNT_PATHS.")
    return ACCOUNT_PATHS[name]


@dataclass(frozen=True)
class Reach:
    """The accounts that a user may see: their uids, or ``None`` for everything."""

    accounts: frozenset[str] | None

    @property
    def is_all(self) -> bool:
        return self.accounts is None

    def narrow(self, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Filter ``rows`` to those of the accounts that the user may see."""
        path = account_path(rows.model)
        if self.accounts is None:
            return rows
        if not path or not self.accounts:
            return rows.none()
        if "__" in path:
            # The path leads over many rows. A join would return a row once for each of them.
            own = rows.model._default_manager.filter(**{f"{path}__in": self.accounts})
            return rows.filter(pk__in=own.order_by().values("pk"))
        if len(self.accounts) == 1:
            # An equality, so that the index on account and date also provides the order.
            return rows.filter(**{path: next(iter(self.accounts))})
        return rows.filter(**{f"{path}__in": sorted(self.accounts)})

    def has(self, row: models.Model) -> bool:
        """Return whether the user may see one loaded row. Runs no statement."""
        path = account_path(type(row))
        if self.accounts is None:
            return True
        if "__" in path:
            return True  # a client is loaded only together with an account that is within reach
        return bool(path) and getattr(row, path) in self.accounts


def reach_of(user: Any) -> Reach:
    """Return the accounts that ``user`` may see. Runs at most one statement, and caches the result on the user object.

    A user without any ``AccountAccess`` sees everything, unless ``LIMIT_STAFF_TO_ACCOUNTS`` is set. A superuser always
    sees everything.
    """
    known = getattr(user, "_govpay_reach", None)
    if known is None:
        known = user._govpay_reach = _reach(user)
    return known


def _reach(user: Any) -> Reach:
    if user.pk is None or not user.is_active:  # not logged in, or deactivated
        return Reach(frozenset())
    if getattr(user, "is_superuser", False):
        return Reach(None)
    granted = Q(user=user.pk)
    if hasattr(user, "groups"):  # a custom user model may have no groups
        granted |= Q(group__in=user.groups.order_by().values("pk"))
    accounts: Any = frozenset(AccountAccess.objects.filter(granted).order_by().values_list("account_id", flat=True))
    return Reach(accounts if accounts or conf.get("LIMIT_STAFF_TO_ACCOUNTS") else None)


class VisibleRows(ModelIterable):
    """Yields rows. A joined related object that the user may not see becomes ``None``, as if it did not exist."""

    def __iter__(self) -> Iterator[Any]:
        rows: Any = self.queryset
        for row in super().__iter__():
            hide_relatives(row, rows.reach)
            yield row


Row = TypeVar("Row", bound=models.Model, covariant=True)


class AccountQuerySet(models.QuerySet[Row]):
    """Querysets of rows that can be filtered by account access. They read the database that is written to.

    A replica may lag behind. Leases, the journal, keys and remainders that are read there would be those of a moment
    ago. ``using()`` reads another database.
    """

    #: Set by ``visible_to`` when the user does not see everything.
    reach: Reach | None = None

    @property
    def db(self) -> str:
        """The alias of the database that this queryset reads and writes."""
        rows: Any = self
        return str(rows._db or router.db_for_write(self.model, **rows._hints))

    def _iterator(self, use_chunked_fetch: bool, chunk_size: int | None) -> Iterator[Any]:
        """Return the rows for ``iterator()``, with a cursor on the server only inside a transaction.

        Elsewhere PgBouncer in transaction mode could send the next statement to a connection without that cursor.
        """
        hook: Any = super()
        rows: Iterator[Any] = hook._iterator(use_chunked_fetch and connections[self.db].in_atomic_block, chunk_size)
        return rows

    def visible_to(self, user: Any) -> Self:
        """Return the rows that ``user`` may see. Joined related objects of other accounts become ``None``."""
        reach = reach_of(user)
        rows: Any = reach.narrow(self.all())
        if not reach.is_all:
            rows.reach, rows._iterable_class = reach, VisibleRows
        return rows

    def _clone(self) -> Self:
        clone: Any = super()._clone()
        clone.reach = self.reach
        return clone


class GovPayModel(models.Model):
    """Base class of all models of govpay."""

    objects = AccountQuerySet.as_manager()

    class Meta:
        abstract = True
        #: So that foreign keys and ``refresh_from_db`` read with ``AccountQuerySet`` too.
        base_manager_name = "objects"


def hide_relatives(row: models.Model, reach: Reach) -> None:
    """Set the joined related objects of ``row`` that the user may not see to ``None``."""
    for field in _links(type(row)):
        relative = field.get_cached_value(row, default=None)
        if relative is not None and not reach.has(relative):
            field.set_cached_value(row, None)


@cache
def _links(model: type[models.Model]) -> tuple[Any, ...]:
    """Return the foreign keys of ``model`` to models of this app."""
    fields: Any = model._meta.concrete_fields
    return tuple(f for f in fields if f.many_to_one and f.related_model._meta.app_label == model._meta.app_label)


class AccountAccess(GovPayModel):
    """Allows a user or a group to see one payment account. Users with such rows see only the accounts of these rows."""

    # Deleting an account or a group must not delete this row: a user who lost the last row would see everything.
    account = models.ForeignKey(
        "govpay.PaymentAccount",
        verbose_name=_("account"),
        to_field="uid",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="access",
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
    )
    group = models.ForeignKey(
        "auth.Group", verbose_name=_("group"), null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    objects = AccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("account access")
        verbose_name_plural = _("account access")
        ordering = ["account_id", "id"]  # not "account": that would join
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, group__isnull=True) | Q(user__isnull=True, group__isnull=False),
                name="govpay_access_user_or_group",
                violation_error_message=_("Choose either a user or a group."),
            ),
            models.UniqueConstraint(fields=["account", "user"], name="govpay_access_user"),
            models.UniqueConstraint(fields=["account", "group"], name="govpay_access_group"),
        ]

    def __str__(self) -> str:
        return f"{self.user or self.group}: {self.account_id}"

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """Validate the columns. Django looks for the account in the database for reads, which may be a replica."""
        super().clean_fields({*(exclude or ()), "account"})
        accounts: Any = type(self)._meta.get_field("account").related_model
        if "account" not in (exclude or ()) and not accounts.objects.filter(uid=self.account_id).exists():
            raise ValidationError({"account": _("There is no such payment account.")})
