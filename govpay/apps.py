"""The app's configuration: registers its checks and receivers when Django is ready."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class GovPayConfig(AppConfig):
    name = "govpay"
    verbose_name = _("Govifi payments")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from govpay import checks  # noqa: F401, PLC0415 - registers the system checks
        from govpay.models.groups import make_groups  # noqa: PLC0415

        post_migrate.connect(make_groups, sender=self, dispatch_uid="govpay.groups")
