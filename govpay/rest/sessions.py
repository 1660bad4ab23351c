"""Hosted sessions: open, read and expire them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError

from govpay import operations
from govpay.addresses import public_address
from govpay.models import Customer, HostedSession, PaymentAccount
from govpay.models.choices import OperationAction
from govpay.operations import staff
from govpay.rest.actions import ActionView
from govpay.rest.base import Rows, RowView
from govpay.rest.bodies import Body, CentsField, Json, TextField, Texts, Whole
from govpay.rest.filters import CentsFilter, MirrorFilter, TextFilter
from govpay.rest.rows import RECORD, MirrorSerializer

#: Options that only payment sessions have, and options that only wallet sessions have. All others are for both.
FOR_PAYMENTS = (
    *("amount", "currency", "success_url", "cancel_url", "description", "line_items", "customer_email", "layout"),
    *("allowed_methods", "setup_future_usage", "required_avs_fields", "metadata", "fraud_signals"),
)
FOR_WALLETS = ("method_badges", "locked_payment_methods")


class SessionSerializer(MirrorSerializer):
    """Omits the credential, because anybody who has it can use the session."""

    class Meta:
        model = HostedSession
        fields: tuple[str, ...] = (
            *("uid", "account", "customer", "amount", "currency", "status", "scope", "layout", "expires_at"),
            *("metadata", *RECORD),
        )


class NewSessionSerializer(SessionSerializer):
    """The response to the user who opened the session, with its credential."""

    pay_url = serializers.SerializerMethodField(
        help_text="This site's page on which the payer pays. Send the payer there. `null` for a wallet session."
    )
    client_secret = serializers.SerializerMethodField(
        help_text="For the vendor's component in your own page. Returned only here; `null` after the session has ended."
    )

    class Meta(SessionSerializer.Meta):
        fields = (*SessionSerializer.Meta.fields, "pay_url", "client_secret")

    def get_pay_url(self, row: HostedSession) -> str | None:
        if row.scope == "wallet":
            return None
        return public_address(self.context["request"], "govpay:pay", str(row.public_id))

    def get_client_secret(self, row: HostedSession) -> str | None:
        sealed: Any = row.credential
        return None if sealed is None else str(sealed.reveal())


class SessionFilter(MirrorFilter):
    status = TextFilter()
    scope = TextFilter()
    account = TextFilter()
    customer = TextFilter()
    currency = TextFilter()
    amount_from = CentsFilter("amount", "gte")
    amount_to = CentsFilter("amount", "lte")


class CreateSessionBody(Body):
    """The vendor's options of a session. Objects have the vendor's properties."""

    scope = TextField(one_of=("payment", "wallet"), required=False, help_text="Default: `payment`.")
    account = TextField(longest=128, required=False, help_text="The payment account's uid. A payment session needs it.")
    customer = TextField(longest=128, required=False, help_text="A customer's uid. A wallet session needs it.")
    amount = CentsField(required=False, help_text="Minor units, without any fee. A payment session needs it.")
    currency = TextField(longest=3, required=False, help_text="Default: `USD`.")
    success_url = TextField(
        longest=2000, required=False, help_text="An https address at an origin that the site allows."
    )
    cancel_url = TextField(
        longest=2000, required=False, help_text="An https address at an origin that the site allows."
    )
    description = TextField(longest=2000, required=False)
    line_items = Json(many=True, required=False)
    customer_email = TextField(required=False)
    layout = TextField(one_of=("embedded", "hosted"), required=False)
    allowed_methods = Texts(required=False, help_text="Any of `card`, `ach`, `apple_pay`, `paypal`.")
    setup_future_usage = TextField(one_of=("off", "on_session", "off_session"), required=False)
    expires_in_seconds = Whole(required=False)
    branding = Json(required=False)
    required_avs_fields = Texts(required=False)
    metadata = Json(required=False, help_text="Any object. It is returned with the session.")
    fraud_signals = Json(required=False)
    method_badges = Json(many=True, required=False)
    locked_payment_methods = Json(many=True, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        scope = attrs.setdefault("scope", "payment")
        needed = ("customer",) if scope == "wallet" else ("account", "amount", "success_url", "cancel_url")
        foreign = (*FOR_PAYMENTS, "account") if scope == "wallet" else FOR_WALLETS
        errors = {name: ["Is missing."] for name in needed if name not in attrs}
        errors.update({name: [f"Does not belong to a {scope} session."] for name in foreign if name in attrs})
        if errors:
            raise ValidationError(errors)
        return attrs


class SessionList(Rows, ActionView):
    model = HostedSession
    action = OperationAction.CREATE_SESSION
    serializer_class = SessionSerializer
    result_class = NewSessionSerializer
    filterset_class = SessionFilter
    body = CreateSessionBody
    status = 201
    made_at = "hosted-session"
    operations = {"GET": "list_hosted_sessions", "POST": "create_hosted_session"}
    reads = "Hosted sessions, newest first."
    does = (
        "Open a session in which a payer pays, or a customer manages saved methods (`scope` `wallet`). Needs "
        "`govpay.create_session`, for a wallet `govpay.manage_wallet`."
    )

    def may_act(self, user: Any) -> bool:
        return super().may_act(user) or staff.may(user, OperationAction.SAVE_METHOD)

    def permit(self, target: Any, given: dict[str, Any]) -> None:
        if not staff.may_open(self.request.user, given["scope"]):
            raise PermissionDenied

    def act(self, target: Any, given: dict[str, Any], **who: Any) -> HostedSession:
        scope = given.pop("scope")
        if "customer" in given:
            given["customer"] = self.choose(Customer, "customer", uid=given["customer"])
        if scope == "wallet":
            return operations.create_wallet_session(**given, **who)
        account = self.choose(PaymentAccount, "account", uid=given.pop("account"))
        return operations.create_hosted_session(account=account, **given, **who)


class SessionDetail(RowView):
    model = HostedSession
    serializer_class = SessionSerializer
    operations = {"GET": "get_hosted_session"}
    reads = "One hosted session."


class ExpireSessionView(ActionView):
    model = HostedSession
    action = OperationAction.EXPIRE_SESSION
    serializer_class = result_class = SessionSerializer
    operations = {"POST": "expire_hosted_session"}
    does = "End an open session, so that nobody can pay in it. Needs the same permission as opening it."

    def may_act(self, user: Any) -> bool:
        return super().may_act(user) or staff.may(user, OperationAction.SAVE_METHOD)

    def target(self, **address: Any) -> HostedSession:
        session: HostedSession = self.find(HostedSession, **address)
        if not staff.may_end(self.request.user, session):
            raise PermissionDenied
        return session

    def act(self, target: HostedSession, given: dict[str, Any], **who: Any) -> HostedSession:
        return operations.expire_hosted_session(session=target, **who)
