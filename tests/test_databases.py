"""Sites with more than one database: read replicas, a database of its own, and PgBouncer."""

from __future__ import annotations

import ast
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.checks import run_checks
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connection, connections, models, transaction
from django.test import Client
from django.urls import reverse

from govpay import operations
from govpay.models import AccountAccess, HostedSession, Operation, Payment, PaymentAccount, SyncRun, WebhookEvent
from govpay.models.choices import OperationAttention, PaymentFlag
from govpay.models.groups import GROUPS
from govpay.tasks import process_event
from govpay.testing import signed_event
from tests.operations.merchant import Merchant
from tests.replica_database.base import ReplicaRead
from tests.routers import OTHER, REPLICA, AppsRouter, ModelsRouter
from tests.settings import SQLITE_OPTIONS

OURS = sorted(apps.get_app_config("govpay").get_models(), key=lambda model: model.__name__)
SOURCES = sorted((Path(__file__).resolve().parent.parent / "govpay").rglob("*.py"))


@pytest.fixture
def other(tmp_path: Path, db: None) -> Iterator[str]:
    """A second database, without tables."""
    connections.databases[OTHER] = {
        **connections.databases[DEFAULT_DB_ALIAS],
        "ENGINE": "tests.cache_database",  # usable without a guard of the tests
        "NAME": str(tmp_path / "other.sqlite3"),
        "OPTIONS": SQLITE_OPTIONS,
    }
    yield OTHER
    connections[OTHER].close()
    del connections[OTHER]
    del connections.databases[OTHER]


def tables(alias: str) -> list[str]:
    return connections[alias].introspection.table_names()


# --- A read replica --------------------------------------------------------------------------------------------------


def test_the_suite_runs_beside_a_replica_that_fails_every_read(settings: Any) -> None:
    """Each other test of the suite shows that its reads go to the database that is written to."""
    assert settings.DATABASE_ROUTERS[0] == "tests.routers.ReplicaRouter"
    with pytest.raises(ReplicaRead):
        connections[REPLICA].connect()
    assert models.QuerySet(Payment).db == REPLICA  # Django's own choice


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_way_to_read_a_model_leads_to_the_database_that_is_written_to(model: type[models.Model]) -> None:
    row = model(pk=1)
    assert model._default_manager.all().db == DEFAULT_DB_ALIAS
    assert model._base_manager.db_manager(hints={"instance": row}).all().db == DEFAULT_DB_ALIAS  # refresh_from_db
    for field in model._meta.concrete_fields:
        related: Any = field.related_model
        if related in OURS:
            assert getattr(model, field.name).get_queryset(instance=row).db == DEFAULT_DB_ALIAS
    for relation in model._meta.related_objects:
        if name := relation.get_accessor_name():
            assert getattr(row, name).all().db == DEFAULT_DB_ALIAS


@pytest.mark.django_db(transaction=True)
def test_money_keys_sync_and_deliveries_beside_a_replica(sandbox: Any, settings: Any, client: Client) -> None:
    page = {"CHECKOUT_ORIGINS": ["https://testserver"], "COMPONENT_SCRIPT_URL": "https://cdn.example/govifi.js"}
    settings.GOVPAY = {**settings.GOVPAY, **page}
    merchant = Merchant(sandbox)
    account, key = merchant.account.uid, uuid.uuid4()
    payment = merchant.captured()
    refund = operations.refund_payment(payment=payment, amount=500, key=key)
    assert operations.refund_payment(payment=payment, amount=500, key=key).pk == refund.pk
    assert Operation.objects.get().state == "succeeded"
    merchant.sync("payments", "transactions")
    assert not SyncRun.objects.exclude(state="succeeded").exists()
    event = signed_event(
        "payment.refunded", {"payment_uid": payment.uid}, secret=merchant.sandbox.webhook_secret(account)
    )
    url = reverse("govpay:webhook", args=[account])
    assert client.post(url, event.body, content_type="application/json", headers=event.headers).status_code == 200
    process_event(WebhookEvent.objects.get().pk)
    assert WebhookEvent.objects.get().state == "processed"
    link = operations.create_payment_link(account=merchant.account, amount=700)
    page = client.get(reverse("govpay:pay", args=[link.public_id]), secure=True)
    assert page.status_code == 200
    assert HostedSession.objects.get().uid in page.content.decode()


@pytest.mark.django_db
def test_account_access_is_validated_without_the_replica() -> None:
    account = PaymentAccount.objects.create(uid="acc_1")
    user = User.objects.create_user("somebody")
    AccountAccess(account=account, user=user).full_clean()
    with pytest.raises(ValidationError, match="no such payment account"):
        AccountAccess(account_id="acc_2", user=user).full_clean()


# --- A second database -----------------------------------------------------------------------------------------------

USERS = ("auth", "contenttypes", "admin", "authtoken")


def test_migrating_a_database_of_the_host_leaves_it_alone(other: str, settings: Any) -> None:
    settings.DATABASE_ROUTERS = [AppsRouter("sessions")]
    call_command("migrate", database=other, verbosity=0)
    assert set(tables(other)) == {"cache", "django_session", "django_migrations"}


def test_migrating_a_database_by_the_names_of_models(other: str, settings: Any) -> None:
    """A data migration says which model it reads, so that such a router can keep it out too."""
    settings.DATABASE_ROUTERS = [ModelsRouter()]
    call_command("migrate", database=other, verbosity=0)
    assert not [table for table in tables(other) if table.startswith("govpay")]


def test_groups_are_made_in_the_database_that_is_migrated(other: str, settings: Any) -> None:
    before = set(Group.permissions.through.objects.values_list("pk", flat=True))
    settings.DATABASE_ROUTERS = []
    call_command("migrate", database=other, verbosity=0)
    check_groups(other)
    assert set(Group.permissions.through.objects.values_list("pk", flat=True)) == before


def check_groups(other: str) -> None:
    for name, codenames in GROUPS.items():
        group = Group.objects.using(other).get(name=name)
        held = set(group.permissions.using(other).values_list("codename", flat=True))
        assert held >= {"view_payment", *codenames}
        assert "view_accountaccess" not in held


@pytest.mark.parametrize(
    ("router", "fine"),
    [
        (AppsRouter(), True),
        (AppsRouter("sessions"), True),
        (AppsRouter("govpay", *USERS), True),
        (AppsRouter("govpay"), False),
        (AppsRouter("auth"), False),
    ],
    ids=lambda value: "-".join(value.labels) or "none" if isinstance(value, AppsRouter) else None,
)
def test_users_in_another_database_are_an_error(settings: Any, router: AppsRouter, fine: bool) -> None:
    settings.DATABASE_ROUTERS = [router]
    found = [message for message in run_checks(tags=["govpay"]) if message.id == "govpay.E012"]
    assert (not found) == fine
    if not fine:
        assert "auth.User" in found[0].msg
        assert "django.contrib.auth" in str(found[0].hint)


@pytest.mark.django_db(transaction=True)
def test_a_site_whose_payments_and_users_are_in_a_database_of_their_own(
    other: str, sandbox: Any, settings: Any, client: Client
) -> None:
    settings.DATABASE_ROUTERS = [*settings.DATABASE_ROUTERS[1:], AppsRouter("govpay", *USERS)]
    call_command("migrate", database=other, verbosity=0)
    check_groups(other)
    merchant = Merchant(sandbox)
    payment = merchant.captured()
    key = uuid.uuid4()
    refund = operations.refund_payment(payment=payment, amount=500, key=key)
    assert operations.refund_payment(payment=payment, amount=500, key=key).pk == refund.pk
    merchant.sync("payments", "transactions")
    staff = User.objects.create_superuser("staff")
    client.force_login(staff)
    operation, late = Operation.objects.get(), OperationAttention.values[0]
    Operation.objects.update(attention=late, attention_at=operation.finished_at)
    Payment.objects.update(flag=PaymentFlag.CHARGEBACK, flagged_at=operation.finished_at)
    at = operation.finished_at.isoformat() if operation.finished_at else ""
    for name, row, shown in (
        ("payment_clear_flag", payment, {"flag": "chargeback", "flagged_at": at}),
        ("operation_dealt_with", operation, {"attention": late, "at": at}),
    ):
        answer = client.post(reverse(f"admin:govpay_{name}", args=[row.pk]), shown, follow=True)
        assert "Marked as dealt with" in answer.content.decode()
    settings.DATABASE_ROUTERS = []
    assert not Operation.objects.using(DEFAULT_DB_ALIAS).exists()
    assert Operation.objects.using(other).get().attention == ""


def test_every_transaction_names_its_database() -> None:
    """Else it is one of the database ``default``, and holds nothing together in a database of our own."""
    without = []
    for path in SOURCES:
        if "sandbox" in path.parts:
            continue  # it has tables of its own
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
                named = {keyword.arg for keyword in node.keywords}
                if owner == "transaction" and not node.args[1:] and node.func.attr in ("atomic", "on_commit"):
                    without += [f"{path.name}:{node.lineno}"] if "using" not in named else []
            if isinstance(node, ast.ImportFrom) and node.module == "django.db":
                without += [f"{path.name}: {name.name}" for name in node.names if name.name == "connection"]
    assert without == []


# --- PgBouncer in transaction mode -----------------------------------------------------------------------------------


def cursors() -> int:
    with connection.cursor() as cursor:
        # The statement itself runs in a cursor of the protocol, which has no name.
        cursor.execute("SELECT count(*) FROM pg_cursors WHERE name LIKE '\\_django\\_%%'")
        return int(cursor.fetchone()[0])


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_no_cursor_on_the_server_outside_a_transaction() -> None:
    """PgBouncer could send the next statement to another connection, which does not know the cursor."""
    Payment.objects.bulk_create([Payment(uid=f"pay_{number}") for number in range(10)])
    rows = Payment.objects.iterator(chunk_size=2)
    next(rows)
    assert cursors() == 0
    assert len(list(rows)) == 9
    with transaction.atomic():
        rows = Payment.objects.iterator(chunk_size=2)
        next(rows)
        assert cursors() == 1
    plain = models.QuerySet(Payment, using=DEFAULT_DB_ALIAS).iterator(chunk_size=2)
    next(plain)
    assert cursors() == 1  # Django's own queryset: the test can fail
    plain.close()
