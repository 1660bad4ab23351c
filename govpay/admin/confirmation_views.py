"""Base classes of admin views that execute an action: permission, POST, token, form and message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.generic import View

from govpay.admin import confirmation_tokens
from govpay.admin.confirmation_tokens import ConfirmationToken, ShownPayment, TokenRefused
from govpay.admin.formatting import page_of
from govpay.admin.messages import outcome_of_error
from govpay.admin.rendering import render
from govpay.exceptions import GovPayError


class PostView(View):
    """The view of a button: POST executes the action and redirects with a message.

    Use it as ``as_view(admin=model_admin)``. A user without the permission gets 403, for every HTTP method and URL.
    With the permission, any method other than POST gets 405.
    """

    http_method_names = ["post"]
    admin: Any = None
    permission = ""
    #: The row that the address names, or ``None``.
    row: Any = None

    def is_allowed(self) -> bool:
        return bool(self.request.user.has_perm(self.permission))

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.is_allowed():
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def load(self) -> HttpResponse | None:
        """Fetch the row that the URL names. Raises ``Http404``. A returned response ends the request."""
        if "pk" in self.kwargs:
            self.row = get_object_or_404(self.rows(), pk=self.kwargs["pk"])
        return None

    def rows(self) -> Any:
        """Return the rows that this user may name in the URL."""
        return self.admin.get_page_queryset(self.request)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self.load() or self.check() or self.run()

    def check(self) -> HttpResponse | None:
        """Check the request. A returned response ends the request, and the action is not executed."""
        return None

    def run(self) -> HttpResponse:
        """Execute the action and redirect with a message about its result."""
        try:
            level, text = self.execute()
        except GovPayError as error:
            return self.fail(error)
        messages.add_message(self.request, level, text)
        return HttpResponseRedirect(self.next_page())

    def execute(self) -> tuple[int, Any]:
        """Execute the action. Return the level and the text of the message. Raises ``GovPayError``."""
        raise NotImplementedError

    def fail(self, error: GovPayError) -> HttpResponse:
        """Redirect to the page that the user came from, with the error as a message."""
        outcome = outcome_of_error(error)
        messages.add_message(self.request, outcome.level, outcome.after(str(outcome)))
        return HttpResponseRedirect(self.back())

    def back(self) -> str:
        """Return the URL of the page that the user came from."""
        return page_of(self.row)

    def page_or_index(self) -> str:
        """Return the URL of the row's page, or of the admin's index if the user may not see the row."""
        return page_of(self.row) if self.admin.has_view_permission(self.request, self.row) else reverse("admin:index")

    def next_page(self) -> str:
        """Return the address to redirect to after success."""
        return self.back()


class ConfirmationView(PostView):
    """A confirmation page. GET shows the effect of the action. POST checks token and form and executes it once."""

    http_method_names = ["get", "head", "post"]
    template = "govpay/admin/confirm.html"
    title: Any = ""
    #: The text above the button: what will happen.
    consequence: Any = ""
    button: Any = ""
    #: The name of the action in the signed token; empty for a page without a token.
    signed_action = ""
    #: The snapshots that the token holds: one for each payment on the page, by primary key.
    shown: Mapping[int, ShownPayment] = {}
    form: Any = None

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self.load() or self.confirm()

    def check(self) -> HttpResponse | None:
        try:
            if self.form is None:
                self.form = self.make_form(self.request.POST)
            if self.signed_action:
                self.token  # noqa: B018 - raises if the token is not valid
        except TokenRefused as refusal:
            return self.refuse(refusal)
        return self.confirm() if self.form is not None and not self.form.is_valid() else None

    def confirm(self, problem: str = "") -> HttpResponse:
        """Show the page with a new token. ``problem``: the reason why the submitted form had no effect."""
        context: dict[str, Any] = {
            "title": self.title,
            "problem": problem,
            "doable": True,
            "consequence": self.consequence,
            "button": self.button,
            "back": self.back(),
            **self.context(),
        }
        if self.form is None:
            self.form = self.make_form(None)
        context["form"] = self.form
        if self.signed_action and context["doable"]:
            ids = self.token_ids()
            context["key"] = confirmation_tokens.sign(self.request.user, self.signed_action, ids, self.shown)
        return render(self.admin, self.request, self.template, context, self.status(problem))

    def context(self) -> dict[str, Any]:
        """Return additional context for the template. A subclass with snapshots sets ``shown`` here."""
        return {}

    def status(self, problem: str) -> int:
        return 400 if problem else 200

    # Token and form

    def token_ids(self) -> Sequence[int]:
        """Return the primary keys that the token is bound to."""
        return []

    @cached_property
    def token(self) -> ConfirmationToken:
        """The submitted token. Raises ``TokenRefused``."""
        text = self.request.POST.get("key", "")
        return confirmation_tokens.read(text, self.request.user, self.signed_action, self.token_ids())

    def make_form(self, data: Any) -> forms.Form | None:
        """Return the form, bound if ``data`` is given, or ``None`` if the page has none. May raise ``TokenRefused``."""
        return None

    def refuse(self, refusal: TokenRefused) -> HttpResponse:
        return self.confirm(str(refusal))

    def fail(self, error: GovPayError) -> HttpResponse:
        """Show the error in the form, which keeps the input. A page without a form redirects with a message."""
        if self.form is None:
            return super().fail(error)
        self.add_error(error)
        return self.confirm()

    def add_error(self, error: GovPayError) -> None:
        outcome = outcome_of_error(error)
        self.form.add_error(None, [each for each in (str(outcome), outcome.detail) if each])
