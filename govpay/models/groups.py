"""The four staff groups, made once when the app is installed and never touched again."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission

#: Permission code names besides the ``view_`` ones, which every group gets
#: (but not who may see which account, which is for those who decide it).
CASHIER = ("charge_customer", "create_session", "capture_payment")
FINANCE = (*CASHIER, "refund_payment", "void_payment", "settle_operation", "manage_wallet", "export_data")
GROUPS: dict[str, tuple[str, ...]] = {
    "Cashier": CASHIER,
    "Finance": FINANCE,
    "Support": (),
    "Operations": ("sync_now", "replay_event", "provision_account"),
}


def make_groups(sender: AppConfig, using: str, plan: Any = None, **_: Any) -> None:
    """Receiver of ``post_migrate``: makes the groups in the run that created our tables.

    ``plan`` tells which migrations this run applied; after a ``flush`` there is none and the tables
    are as empty as on the first day. A group that an administrator changed or deleted stays so.
    """
    if plan is not None and not any(
        migration.app_label == sender.label and migration.name == "0001_initial" and not backwards
        for migration, backwards in plan
    ):
        return
    # Django's own receiver may come after this one, depending on the order of INSTALLED_APPS.
    create_permissions(sender, verbosity=0, using=using)
    ours = Permission.objects.using(using).filter(content_type__app_label=sender.label)
    viewing = list(ours.filter(codename__startswith="view_").exclude(codename="view_accountaccess"))
    for name, codenames in GROUPS.items():
        group, new = Group.objects.using(using).get_or_create(name=name)
        if new:
            group.permissions.set([*viewing, *ours.filter(codename__in=codenames)])
