"""Admin pages for the system status (doctor), the heartbeats of processes and the contract notices."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, reverse
from django.utils.translation import gettext_lazy as _

from govpay.admin.base import ReadOnlyAdmin
from govpay.admin.confirmations import own_url
from govpay.admin.formatting import Table, badge, clip, label_of, list_of, moment_column, text_column
from govpay.admin.rendering import render
from govpay.models import ContractNotice, Heartbeat, PaymentAccount
from govpay.models.access import reach_of
from govpay.models.choices import Level
from govpay.models.permissions import PROVISION_ACCOUNT, SYNC_NOW

#: Either of these permissions allows a user to see the system status.
PERMISSIONS = (SYNC_NOW, PROVISION_ACCOUNT)


def may_examine(request: HttpRequest) -> bool:
    """Return whether the user may see the system status. It names all accounts, so access to all of them is needed."""
    return reach_of(request.user).is_all and any(request.user.has_perm(name) for name in PERMISSIONS)


def doctor_tools(request: HttpRequest) -> list[tuple[Any, str]]:
    """Return the link to the system status above a list, if the user may see it."""
    return [(_("System status"), reverse("admin:govpay_doctor"))] if may_examine(request) else []


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    started = moment_column("started_at", _("without a gap since"))
    seen = moment_column("last_seen", _("last sign"))

    list_display = ("name", "seen", "started", "host")
    ordering = ("name",)
    fieldsets = ((None, {"fields": ("name", "last_seen", "started_at", "host")}),)

    def list_tools(self, request: HttpRequest) -> list[tuple[Any, str]]:
        return doctor_tools(request)

    def get_urls(self) -> list[URLPattern]:
        return [own_url(self, "doctor/", "govpay_doctor", self.doctor_view), *super().get_urls()]

    def doctor_view(self, request: HttpRequest) -> HttpResponse:
        """Show the findings, the worst first. Changes nothing. All calls to the platform take at most 20 s together."""
        if not may_examine(request):
            raise PermissionDenied
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        # Imported here, so that the start of the app does not load the client and the sync.
        from govpay.doctor import examine  # noqa: PLC0415

        report = examine()
        order = [Level.ERROR, Level.WARNING, Level.OK]
        found = sorted(report.findings, key=lambda finding: order.index(finding.level))
        table = Table(
            title=_("Findings"),
            heads=(_("Level"), _("Check"), _("About"), _("What was found"), _("What to do")),
            rows=[(badge(f.level, Level), f.check, clip(f.subject, 128), f.what, f.hint or None) for f in found],
        )
        context = {
            "title": _("System status"),
            "tables": [table],
            "counts": [(label_of(level, Level), report.counts[level.value]) for level in order],
            "seconds": f"{report.seconds:.1f}",
            "back": list_of(PaymentAccount),
        }
        return render(self, request, "govpay/admin/doctor.html", context)


@admin.register(ContractNotice)
class ContractNoticeAdmin(ReadOnlyAdmin):
    """Show properties and enum values in the platform's answers that are not known here."""

    name_text = text_column("name", _("name"))
    value_text = text_column("value", _("value"))
    route_text = text_column("route", _("route"))
    first = moment_column("first_seen", _("first seen"))
    seen = moment_column("last_seen", _("last seen"))

    list_display = ("name_text", "kind", "value_text", "count", "first", "seen", "route_text")
    sortable_by = ("seen",)
    fieldsets = (
        (None, {"fields": ("kind", "name", "value", "route", "source")}),
        (_("When"), {"fields": ("count", "first_seen", "last_seen")}),
    )

    def list_tools(self, request: HttpRequest) -> list[tuple[Any, str]]:
        return doctor_tools(request)
