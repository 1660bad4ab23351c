"""Deeds: local to remote to local. Everything here is keyword-only and journalled before it is sent."""

from govpay.operations.deeds import Seen
from govpay.operations.payments import capture_payment, void_payment
from govpay.operations.quotes import capturable_methods, quote_payment
from govpay.operations.reconcile import reconcile
from govpay.operations.refunds import refund_payment

__all__ = [
    "Seen",
    "capturable_methods",
    "capture_payment",
    "quote_payment",
    "reconcile",
    "refund_payment",
    "void_payment",
]
