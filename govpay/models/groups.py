"""The four staff groups. Each is created once, and gets each permission once. What a site changes stays so."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db import router

#: Permission code names in addition to the ``view_`` ones. Every group gets those, except ``view_accountaccess``:
#: only those who decide on account access need it.
NOTES = ("add_note",)
CASHIER = ("charge_customer", "create_session", "capture_payment", *NOTES)
FINANCE = (*CASHIER, "refund_payment", "void_payment", "settle_operation", "manage_wallet", "export_data")
GROUPS: dict[str, tuple[str, ...]] = {
    "Cashier": CASHIER,
    "Finance": FINANCE,
    "Support": NOTES,
    "Operations": ("sync_now", "replay_event", "provision_account", *NOTES),
}
#: Permissions that came with a later migration. The run that applies it adds them to the groups that still exist.
LATER: dict[str, tuple[str, ...]] = {"0010_notes": ("view_note", *NOTES)}


def make_groups(sender: AppConfig, using: str, plan: Any = None, **_: Any) -> None:
    """Receiver of ``post_migrate``: creates the groups in the run that created our tables.

    ``plan``: the migrations that this run applied. After a ``flush`` there is no plan, and the tables are empty as
    after the installation. A group that an administrator changed or deleted stays as it is. Does nothing in a
    database that has no groups.
    """
    if not all(router.allow_migrate_model(using, model) for model in (Group, Permission)):
        return  # the accounts of users are in another database
    ran = [migration for migration, backwards in plan or () if not backwards]
    applied = {migration.name for migration in ran if migration.app_label == sender.label}
    is_new = plan is None or "0001_initial" in applied
    later = {codename for name, codenames in LATER.items() if name in applied for codename in codenames}
    if not is_new and not later:
        return
    # Django's own receiver may come after this one, depending on the order of INSTALLED_APPS.
    create_permissions(sender, verbosity=0, using=using)
    ours = Permission.objects.using(using).filter(content_type__app_label=sender.label)
    # Not ``permissions.set()`` or ``add()``, which write to the database of the router instead of ``using``.
    links = Group.permissions.through._default_manager.using(using)
    if not is_new:
        added = ours.filter(codename__in=later)
        groups = Group.objects.using(using).filter(name__in=GROUPS)
        rows = [links.model(group_id=group.pk, permission_id=each.pk) for group in groups for each in added]
        links.bulk_create(rows, ignore_conflicts=True)
        return
    viewing = list(ours.filter(codename__startswith="view_").exclude(codename="view_accountaccess"))
    for name, codenames in GROUPS.items():
        group, new = Group.objects.using(using).get_or_create(name=name)
        if new:
            permissions = [*viewing, *ours.filter(codename__in=codenames)]
            links.bulk_create([links.model(group_id=group.pk, permission_id=each.pk) for each in permissions])
