"""``visible_to``: a user sees only the rows of the permitted accounts."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import IntegrityError, connection, models, transaction
from django.test.utils import CaptureQueriesContext

from govpay.models import AccountAccess, Client, Customer, Payment, PaymentAccount
from govpay.models.access import ACCOUNT_PATHS, AccountQuerySet, Reach, account_path, reach_of
from tests.admin.neighbours import all_models, grant
from tests.admin.rows import fill, payment

pytestmark = pytest.mark.django_db

ACCOUNTS = ("acc_0", "acc_1", "acc_2", "acc_3")

each_model = pytest.mark.parametrize("model", all_models(), ids=lambda model: model.__name__)


def again(user: Any) -> Any:
    """The same user in the next request."""
    return User.objects.get(pk=user.pk)


def seen(user: Any) -> frozenset[str] | None:
    return reach_of(again(user)).accounts


# --- How far somebody sees ----------------------------------------------------------------------------


def test_nobody_is_limited_at_first(support: Any) -> None:
    assert seen(support) is None


def test_by_user_by_group_and_by_both(support: Any, cashier: Any, finance: Any) -> None:
    grant("acc_0", user=support)
    grant("acc_1", "acc_2", group=support.groups.get())
    grant("acc_2", user=cashier)
    grant("acc_3", group=Group.objects.create(name="Nobody's"))
    assert seen(support) == {"acc_0", "acc_1", "acc_2"}
    assert seen(cashier) == {"acc_2"}
    assert seen(finance) is None


def test_a_superuser_sees_all_for_nothing(django_assert_num_queries: Callable[..., Any]) -> None:
    boss = User.objects.create_superuser("boss")
    grant("acc_0", user=boss)
    with django_assert_num_queries(0):
        assert reach_of(boss).is_all
        assert not Payment.objects.visible_to(boss).query.where.children


def test_one_statement_however_often_it_is_asked(support: Any, django_assert_num_queries: Callable[..., Any]) -> None:
    grant("acc_0", user=support)
    user = again(support)
    with django_assert_num_queries(1):
        for _ in range(3):
            assert reach_of(user).accounts == {"acc_0"}


def test_a_closed_default(settings: Any, support: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "LIMIT_STAFF_TO_ACCOUNTS": True}
    assert seen(support) == frozenset()
    grant("acc_0", user=support)
    assert seen(support) == {"acc_0"}
    assert reach_of(User.objects.create_superuser("boss")).is_all


def test_strangers_and_those_who_left_see_nothing() -> None:
    assert reach_of(AnonymousUser()).accounts == frozenset()
    assert reach_of(User(username="new")).accounts == frozenset()
    assert reach_of(User.objects.create_superuser("gone", is_active=False)).accounts == frozenset()


@pytest.mark.parametrize("both", [True, False])
def test_either_a_user_or_a_group(both: bool, support: Any) -> None:
    to = {"user": support, "group": support.groups.get()} if both else {}
    with pytest.raises(IntegrityError), transaction.atomic():
        AccountAccess.objects.create(account_id="acc_0", **to)


def test_each_once(support: Any) -> None:
    for to in ({"user": support}, {"group": support.groups.get()}):
        AccountAccess.objects.create(account_id="acc_0", **to)
        with pytest.raises(IntegrityError), transaction.atomic():
            AccountAccess.objects.create(account_id="acc_0", **to)


def test_a_group_with_rows_stays(support: Any) -> None:
    """Its members would see everything."""
    grant("acc_0", group=support.groups.get())
    with pytest.raises(models.ProtectedError):
        support.groups.get().delete()


def test_an_account_that_goes_leaves_its_rows(support: Any) -> None:
    PaymentAccount.objects.create(uid="acc_0")
    grant("acc_0", user=support)
    PaymentAccount.objects.all().delete()
    assert seen(support) == {"acc_0"}


# --- Whose a row is -----------------------------------------------------------------------------------------


@each_model
def test_every_model_has_a_rule(model: type[models.Model]) -> None:
    path = account_path(model)
    assert isinstance(model._default_manager.all(), AccountQuerySet)
    if path:
        model._default_manager.filter(**{path: "x"}).exists()
    names = {field.attname for field in model._meta.concrete_fields}
    assert ("account_id" in names) == (path == "account_id") or model is AccountAccess


def test_no_rule_is_left_of_a_model_that_is_gone() -> None:
    assert {str(model._meta.model_name) for model in all_models()} == set(ACCOUNT_PATHS)


def test_a_model_without_a_rule_is_refused() -> None:
    with pytest.raises(LookupError, match="Group"):
        Reach(None).narrow(Group.objects.all())


def belongs_to(row: Any) -> set[str]:
    """By another way than the code's: the accounts that a row belongs to."""
    if isinstance(row, Client):
        return {account.uid for account in PaymentAccount.objects.all() if account.client_id == row.uid}
    if isinstance(row, PaymentAccount):
        return {row.uid}
    uid = None if isinstance(row, AccountAccess) else getattr(row, "account_id", None)
    return {uid} if uid else set()


@each_model
@pytest.mark.parametrize("seed", range(4))
def test_the_same_rows_as_by_looking_at_each(model: type[models.Model], seed: int, support: Any) -> None:
    dice = random.Random(seed)
    for uid in ACCOUNTS:
        PaymentAccount.objects.create(uid=uid, client_id=dice.choice(["cl_0", "cl_1", None]))
    for uid in ("cl_0", "cl_1", "cl_2"):
        Client.objects.create(uid=uid)
    group = support.groups.get()
    mine, ours = (dice.sample(ACCOUNTS, dice.randint(0, 2)) for _ in range(2))
    grant(*mine, user=support)
    grant(*ours, group=group)
    if model not in (AccountAccess, Client, PaymentAccount):
        fill(model, 12)
        for row in model._default_manager.all():
            if hasattr(row, "account_id"):
                model._default_manager.filter(pk=row.pk).update(account_id=dice.choice([*ACCOUNTS, None, "gone"]))
    rows = list(model._default_manager.all())
    allowed = {*mine, *ours}
    expected = {row.pk for row in rows if not allowed or belongs_to(row) & allowed}
    found = [row.pk for row in model._default_manager.visible_to(again(support))]  # type: ignore[attr-defined]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_joined_relatives_of_others_are_as_if_never_read(support: Any) -> None:
    grant("acc_0", user=support)
    for uid in ACCOUNTS[:2]:
        PaymentAccount.objects.create(uid=uid)
    mine = payment(customer_id="cus_foreign", session_id=None)
    payment(account_id="acc_1")
    Customer.objects.create(uid="cus_foreign", account_id="acc_1", name="Foreign")
    rows = Payment.objects.select_related("customer", "account")
    for queryset in (
        rows.visible_to(again(support)),
        rows.visible_to(again(support)).filter(status="captured").order_by("pk").with_pending_refunds(),
    ):
        for found in (list(queryset), list(queryset.iterator()), [queryset.get()], [queryset.first()]):
            (row,) = found
            assert row is not None
            assert (row.pk, row.customer, row.customer_id) == (mine.pk, None, "cus_foreign")
            assert row.account is not None
    assert rows.get(pk=mine.pk).customer is not None
    assert list(rows.visible_to(again(support)).values_list("customer__uid", flat=True)) == ["cus_foreign"]


def test_one_account_is_an_equation_and_uses_its_index(support: Any) -> None:
    grant("acc_0", user=support)
    with CaptureQueriesContext(connection) as context:
        list(Payment.objects.visible_to(again(support))[:10])
    assert '"account_id" = ' in context.captured_queries[-1]["sql"]
