"""A host's module, which ``make lint`` checks with mypy and django-stubs. It is never run.

``assert_type`` fails if a type is missing or ``Any``. An unused ``type: ignore`` is an error, so mypy must find
something in each line that has one.
"""

from __future__ import annotations

from typing import assert_type

from django.contrib.auth.models import User

from govpay import operations
from govpay.models import (
    AccountAccess,
    Customer,
    HostedSession,
    Operation,
    Payment,
    PaymentAccount,
    PaymentLink,
    SavedPaymentMethod,
    Terminal,
    Transaction,
    WebhookEvent,
)
from govpay.models.base import MirrorQuerySet
from govpay.models.payments import PaymentQuerySet


def rows_that_are_present(user: User) -> None:
    assert_type(Payment.objects.present(), PaymentQuerySet)
    assert_type(Payment.objects.filter(status="captured").present().visible_to(user), PaymentQuerySet)
    assert_type(Payment.objects.present().flagged().with_pending_refunds(), PaymentQuerySet)
    assert_type(Payment.objects.present().first(), Payment | None)
    assert_type(Customer.objects.present(), MirrorQuerySet[Customer])
    assert_type(Terminal.objects.visible_to(user).get(), Terminal)
    assert_type(Operation.objects.visible_to(user).get(), Operation)
    assert_type(PaymentLink.objects.visible_to(user).get(), PaymentLink)
    assert_type([row.total_amount for row in Payment.objects.present()], list[int | None])


def relations(payment: Payment, transaction: Transaction, link: PaymentLink, operation: Operation) -> None:
    assert_type(payment.account, PaymentAccount | None)
    assert_type(payment.account_id, str | None)
    assert_type(payment.customer, Customer | None)
    assert_type(payment.saved_method, SavedPaymentMethod | None)
    assert_type(payment.session, HostedSession | None)
    assert_type(transaction.payment, Payment | None)
    assert_type(link.session, HostedSession | None)
    assert_type(link.payment, Payment | None)
    assert_type(operation.payment, Payment | None)
    assert_type(operation.customer, Customer | None)
    assert_type(operation.actor, User | None)
    assert_type(WebhookEvent.objects.get().payment, Payment | None)
    assert_type(AccountAccess.objects.get().account, PaymentAccount)
    print(payment.customer_name)  # type: ignore[attr-defined]
    print(payment.account.uid)  # type: ignore[union-attr]


def identifiers(payment: Payment, session: HostedSession, link: PaymentLink) -> None:
    assert_type(payment.uid, str)
    assert_type(session.public_id, str | None)
    assert_type(link.public_id, str)


def actions(payment: Payment, account: PaymentAccount, user: User) -> None:
    assert_type(operations.capture_payment(payment=payment, actor=user), Payment)
    assert_type(operations.refund_payment(payment=payment, amount=500), Transaction)
    assert_type(operations.create_payment_link(account=account, amount=500), PaymentLink)
    operations.nosuch(payment=payment)  # type: ignore[attr-defined]
    operations.refund_payment(payment=payment, amout=500)  # type: ignore[call-arg]
    operations.capture_payment(payment="uid")  # type: ignore[arg-type]
