"""Customers and their saved payment methods: read, create, save, remove, set the default."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.response import Response

from govpay import operations
from govpay.models import Customer, PaymentAccount, SavedPaymentMethod
from govpay.models.choices import OperationAction
from govpay.rest.actions import ActionView
from govpay.rest.base import Rows, RowView
from govpay.rest.bodies import Body, Json, TextField
from govpay.rest.filters import FlagFilter, MirrorFilter, TextFilter
from govpay.rest.rows import RECORD, MirrorSerializer


class CustomerSerializer(MirrorSerializer):
    class Meta:
        model = Customer
        fields = ("uid", "account", "reference_id", "name", "email", *RECORD)


class MethodSerializer(MirrorSerializer):
    class Meta:
        model = SavedPaymentMethod
        fields = (
            *("uid", "account", "customer", "method_type", "brand", "last4", "exp_month", "exp_year"),
            *("holder_name", "bank_name", "account_type", "is_default", *RECORD),
        )


class CustomerFilter(MirrorFilter):
    account = TextFilter()
    reference_id = TextFilter()
    email = TextFilter()


class OwnMethodFilter(MirrorFilter):
    method_type = TextFilter()
    is_default = FlagFilter()


class MethodFilter(OwnMethodFilter):
    account = TextFilter()
    customer = TextFilter()


class CreateCustomerBody(Body):
    account = TextField(longest=128, help_text="The payment account's uid.")
    reference_id = TextField(help_text="Your identifier of the payer. An existing customer with it is returned.")
    name = TextField(required=False)
    email = TextField(required=False)


class CustomerList(Rows, ActionView):
    model = Customer
    action = OperationAction.CREATE_CUSTOMER
    serializer_class = result_class = CustomerSerializer
    filterset_class = CustomerFilter
    body = CreateCustomerBody
    status = 201
    made_at = "customer"
    operations = {"GET": "list_customers", "POST": "create_customer"}
    reads = "Customers, newest first."
    does = "Return the account's customer with this reference unchanged, or create one. Needs `govpay.manage_wallet`."

    def act(self, target: Any, given: dict[str, Any], **who: Any) -> Customer:
        account = self.choose(PaymentAccount, "account", uid=given.pop("account"))
        return operations.create_customer(account=account, **given, **who)


class CustomerDetail(RowView):
    model = Customer
    serializer_class = CustomerSerializer
    operations = {"GET": "get_customer"}
    reads = "One customer."


class MethodList(Rows):
    model = SavedPaymentMethod
    serializer_class = MethodSerializer
    filterset_class = MethodFilter
    operations = {"GET": "list_payment_methods"}
    reads = "Saved payment methods, newest first."


class MethodDetail(RowView):
    model = SavedPaymentMethod
    serializer_class = MethodSerializer
    operations = {"GET": "get_payment_method"}
    reads = "One saved payment method."


class SaveMethodBody(Body):
    payment_method = Json(help_text="The vendor's object with the 15-minute token, never a card number.")


class OwnMethodList(Rows, ActionView):
    """The saved methods of one customer; the URL's ``customer`` is the customer's uid."""

    model = SavedPaymentMethod
    action = OperationAction.SAVE_METHOD
    serializer_class = result_class = MethodSerializer
    filterset_class = OwnMethodFilter
    body = SaveMethodBody
    status = 201
    made_at = "payment-method"
    operations = {"GET": "list_customer_payment_methods", "POST": "save_payment_method"}
    reads = "A customer's saved payment methods, newest first."
    does = "Save a card or a bank account for a customer. Needs `govpay.manage_wallet`."

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        return super().get_queryset().filter(customer=self.find(Customer, "uid", uid=self.kwargs["customer"]).uid)

    def target(self, **address: Any) -> Customer:
        customer: Customer = self.find(Customer, uid=address["customer"])
        return customer

    def act(self, target: Customer, given: dict[str, Any], **who: Any) -> SavedPaymentMethod:
        return operations.save_payment_method(customer=target, **given, **who)


class OwnMethodDetail(RowView, ActionView):
    model = SavedPaymentMethod
    action = OperationAction.REMOVE_METHOD
    serializer_class = result_class = MethodSerializer
    operations = {"GET": "get_customer_payment_method", "DELETE": "remove_payment_method"}
    http_method_names = ["get", "head", "delete"]  # not the action's own "post"
    reads = "One of a customer's saved payment methods."
    does = (
        "Remove a saved method. Its row stays here with `deleted_at`, and its payments stay too. Needs "
        "`govpay.manage_wallet`."
    )

    def delete(self, request: Any, **address: Any) -> Response:
        return self.post(request, **address)

    def target(self, **address: Any) -> SavedPaymentMethod:
        method: SavedPaymentMethod = self.find(SavedPaymentMethod, **address)
        return method

    def act(self, target: SavedPaymentMethod, given: dict[str, Any], **who: Any) -> SavedPaymentMethod:
        return operations.remove_payment_method(method=target, **who)


class DefaultMethod(ActionView):
    model = SavedPaymentMethod
    action = OperationAction.SET_DEFAULT_METHOD
    serializer_class = result_class = MethodSerializer
    operations = {"POST": "set_default_payment_method"}
    does = "Make a saved method its customer's default. Needs `govpay.manage_wallet`."

    def target(self, **address: Any) -> SavedPaymentMethod:
        method: SavedPaymentMethod = self.find(SavedPaymentMethod, **address)
        return method

    def act(self, target: SavedPaymentMethod, given: dict[str, Any], **who: Any) -> SavedPaymentMethod:
        return operations.set_default_payment_method(method=target, **who)
