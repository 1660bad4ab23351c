"""The four staff groups are created once and not changed afterwards."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.management import call_command

from govpay.models.groups import make_groups

EXPECTED = {
    "Cashier": {"charge_customer", "create_session", "capture_payment", "add_note"},
    "Finance": {"charge_customer", "create_session", "capture_payment", "add_note"}
    | {"refund_payment", "void_payment", "settle_operation", "manage_wallet", "export_data"},
    "Support": {"add_note"},
    "Operations": {"sync_now", "replay_event", "provision_account", "add_note"},
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", EXPECTED)
def test_group_permissions(name: str) -> None:
    codenames = set(Group.objects.get(name=name).permissions.values_list("codename", flat=True))
    models = {model.__name__.lower() for model in apps.get_app_config("govpay").get_models()} - {"accountaccess"}
    assert codenames == EXPECTED[name] | {f"view_{model}" for model in models}


@pytest.mark.django_db
def test_a_later_migrate_changes_nothing() -> None:
    Group.objects.get(name="Support").delete()
    Group.objects.get(name="Cashier").permissions.clear()
    call_command("migrate", verbosity=0)
    assert not Group.objects.filter(name="Support").exists()
    assert Group.objects.get(name="Cashier").permissions.count() == 0


@pytest.mark.django_db
def test_a_group_of_the_host_with_the_same_name_is_left_alone() -> None:
    Group.objects.all().delete()
    Group.objects.create(name="Finance")
    make_groups(sender=apps.get_app_config("govpay"), using="default")
    assert Group.objects.get(name="Finance").permissions.count() == 0
    assert Group.objects.get(name="Cashier").permissions.count() > 0


class Ran:
    """A migration as the plan of a run names it."""

    app_label = "govpay"

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.django_db
def test_a_permission_of_a_later_release_is_added_once_to_the_groups_that_exist() -> None:
    Group.objects.get(name="Support").delete()
    cashier = Group.objects.get(name="Cashier")
    cashier.permissions.clear()
    run = {"sender": apps.get_app_config("govpay"), "using": "default"}
    make_groups(plan=[(Ran("0010_notes"), False)], **run)
    assert set(cashier.permissions.values_list("codename", flat=True)) == {"add_note", "view_note"}
    assert not Group.objects.filter(name="Support").exists()
    cashier.permissions.clear()
    make_groups(plan=[(Ran("0099_later"), False)], **run)
    make_groups(plan=[(Ran("0010_notes"), True)], **run)
    assert cashier.permissions.count() == 0
