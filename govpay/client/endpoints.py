"""One thin method per route of the platform. Account-scoped methods take the account's uid first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from govpay.client.base import Calls, an_object, has_text, is_a
from govpay.client.odata import Query
from govpay.client.pages import Page
from govpay.client.resources import (
    ClientResource,
    CustomerResource,
    HostedSessionResource,
    PaymentAccountResource,
    PaymentResource,
    SavedMethodResource,
    TerminalResource,
    TransactionResource,
)
from govpay.client.shapes import CapturePayment, RefundPayment, ValidatePayment
from govpay.client.tenant_shapes import (
    CheckoutConfig,
    CreateClient,
    CreateCustomer,
    CreateHostedSession,
    CreatePaymentAccount,
    DefaultPaymentMethod,
    ImportPaymentMethods,
    SavePaymentMethod,
    SetSubscriptions,
    UpdateHostedSession,
)
from govpay.exceptions import ConfigurationError


class Endpoints(Calls):
    """The platform's API. See ``routes.TABLE`` for the routes and their sources, and ``Transport.send`` for the errors.

    Lists return one ``Page``; ``walk`` reads all pages. Reads return a resource. Writes take a typed body and an
    ``idempotency_key``, are sent at most once, and raise ``OutcomeUnknown`` if the answer does not identify the
    requested object. An empty account uid or path parameter is refused before any request is sent.
    """

    # -- tenants -------------------------------------------------------------------------------------------

    def list_clients(self, query: Query | None = None, *, within: float | None = None) -> Page:
        """Return one page of the clients. ``within``: timeout in seconds."""
        return self._page("list_clients", None, query, within=within)

    def get_client(self, uid: str) -> ClientResource:
        return self._one(ClientResource, "get_client", None, uid)

    def create_client(self, body: CreateClient, *, idempotency_key: str) -> ClientResource:
        answer = self._write("create_client", None, body, idempotency_key, check=is_a(ClientResource))
        return ClientResource(answer.document, answer.request_id)

    def list_payment_accounts(self, query: Query | None = None) -> Page:
        return self._page("list_payment_accounts", None, query)

    def get_payment_account(self, uid: str) -> PaymentAccountResource:
        return self._one(PaymentAccountResource, "get_payment_account", None, uid)

    def create_payment_account(self, body: CreatePaymentAccount, *, idempotency_key: str) -> PaymentAccountResource:
        answer = self._write("create_payment_account", None, body, idempotency_key, check=is_a(PaymentAccountResource))
        return PaymentAccountResource(answer.document, answer.request_id)

    def update_payment_account(
        self, uid: str, body: CreatePaymentAccount, *, idempotency_key: str
    ) -> PaymentAccountResource | None:
        """Return the account, or None for an empty answer. The form of this answer is assumed (A7)."""
        if not idempotency_key:
            raise ConfigurationError("update_payment_account needs an idempotency key.")
        its_own = is_a(PaymentAccountResource, uid)
        request = self._request(
            "update_payment_account",
            None,
            {"uid": uid},
            json=body.to_wire(),
            idempotency_key=idempotency_key,
            check=lambda document: None if document is None else its_own(document),
        )
        answer = self.transport.send(replace(request, empty_ok=True))
        return None if answer.document is None else PaymentAccountResource(answer.document, answer.request_id)

    def set_checkout_config(self, uid: str, body: CheckoutConfig, *, idempotency_key: str) -> Any:
        """Return the platform's answer, which is not documented; None if it is empty."""
        return self._write("set_checkout_config", None, body, idempotency_key, uid=uid).document

    # -- wallets -------------------------------------------------------------------------------------------

    def list_customers(self, account_uid: str, query: Query | None = None) -> Page:
        return self._page("list_customers", account_uid, query)

    def get_customer(self, account_uid: str, uid: str) -> CustomerResource:
        return self._one(CustomerResource, "get_customer", account_uid, uid)

    def create_customer(self, account_uid: str, body: CreateCustomer, *, idempotency_key: str) -> CustomerResource:
        """Create a customer. If its reference exists already, raises ``Conflict`` (A13); then look the customer up."""
        answer = self._write("create_customer", account_uid, body, idempotency_key, check=is_a(CustomerResource))
        return CustomerResource(answer.document, answer.request_id)

    def list_saved_payment_methods(self, account_uid: str, customer_uid: str) -> Page:
        """Return all saved methods of a customer; this list is not paged (A14)."""
        return self._page("list_saved_payment_methods", account_uid, None, customer_uid=customer_uid)

    def save_payment_method(
        self, account_uid: str, customer_uid: str, body: SavePaymentMethod, *, idempotency_key: str
    ) -> SavedMethodResource:
        """Return the saved method. Its ``raw`` contains the permanent token (/platform/wallets/): never log it."""
        answer = self._write(
            "save_payment_method",
            account_uid,
            body,
            idempotency_key,
            check=is_a(SavedMethodResource),
            customer_uid=customer_uid,
        )
        return SavedMethodResource(answer.document, answer.request_id)

    def remove_payment_method(self, account_uid: str, customer_uid: str, uid: str, *, idempotency_key: str) -> None:
        self._write("remove_payment_method", account_uid, None, idempotency_key, customer_uid=customer_uid, uid=uid)

    def set_default_payment_method(
        self, account_uid: str, customer_uid: str, body: DefaultPaymentMethod, *, idempotency_key: str
    ) -> Any:
        """Return the platform's answer, which is not documented; None if it is empty."""
        return self._write(
            "set_default_payment_method", account_uid, body, idempotency_key, customer_uid=customer_uid
        ).document

    def import_payment_methods(
        self, account_uid: str, body: ImportPaymentMethods, *, idempotency_key: str
    ) -> Mapping[str, Any]:
        """Return the answer: ``imported``, and ``results`` with one object per sent row, by ``index`` (A16)."""
        answer = self._write("import_payment_methods", account_uid, body, idempotency_key, check=_import_results)
        return an_object(answer.document)

    # -- payments ------------------------------------------------------------------------------------------

    def list_payments(self, account_uid: str, query: Query | None = None) -> Page:
        return self._page("list_payments", account_uid, query)

    def get_payment(self, account_uid: str, uid: str) -> PaymentResource:
        return self._one(PaymentResource, "get_payment", account_uid, uid)

    def validate_payment(self, account_uid: str, body: ValidatePayment, *, idempotency_key: str) -> PaymentResource:
        """Quote the fee: returns ``uid``, ``processing_fee_amount``, ``total_amount`` in cents. Captures nothing."""
        answer = self._write("validate_payment", account_uid, body, idempotency_key, check=is_a(PaymentResource))
        return PaymentResource(answer.document, answer.request_id)

    def capture_payment(
        self, account_uid: str, uid: str, body: CapturePayment, *, idempotency_key: str
    ) -> PaymentResource:
        """Charge a validated payment (A9).

        Raises ``PaymentDeclined``, ``Conflict`` (already captured or failed) or ``Gone`` (expired).
        """
        answer = self._write(
            "capture_payment", account_uid, body, idempotency_key, check=is_a(PaymentResource, uid), uid=uid
        )
        return PaymentResource(answer.document, answer.request_id)

    def refund_payment(
        self, account_uid: str, uid: str, body: RefundPayment, *, idempotency_key: str
    ) -> TransactionResource:
        """Return the transaction of the refund. An ACH refund starts as ``pending`` (A10)."""
        answer = self._write("refund_payment", account_uid, body, idempotency_key, check=_refund_of(uid), uid=uid)
        return TransactionResource(answer.document, answer.request_id)

    def void_payment(self, account_uid: str, uid: str, *, idempotency_key: str) -> PaymentResource:
        """Void a payment. Allowed before the capture and on its UTC day, but not after a refund (A11)."""
        answer = self._write(
            "void_payment", account_uid, None, idempotency_key, check=is_a(PaymentResource, uid), uid=uid
        )
        return PaymentResource(answer.document, answer.request_id)

    def list_transactions(self, account_uid: str, query: Query | None = None) -> Page:
        return self._page("list_transactions", account_uid, query)

    def get_transaction(self, account_uid: str, uid: str) -> TransactionResource:
        return self._one(TransactionResource, "get_transaction", account_uid, uid)

    # -- terminals -----------------------------------------------------------------------------------------

    def list_terminals(self, account_uid: str, query: Query | None = None) -> Page:
        return self._page("list_terminals", account_uid, query)

    def get_terminal(self, account_uid: str, uid: str) -> TerminalResource:
        return self._one(TerminalResource, "get_terminal", account_uid, uid)

    # -- events --------------------------------------------------------------------------------------------

    def list_subscriptions(self, account_uid: str, *, within: float | None = None) -> Page:
        """Return all subscriptions; this list is not paged (A2, A20). ``within``: timeout in seconds."""
        return self._page("list_subscriptions", account_uid, None, within=within)

    def set_subscriptions(self, account_uid: str, body: SetSubscriptions, *, idempotency_key: str) -> Any:
        """Change the named event types and leave the others as they are (A20). Returns the answer, None if empty."""
        return self._write("set_subscriptions", account_uid, body, idempotency_key).document

    def get_webhook_secret(self, account_uid: str, *, within: float | None = None) -> str:
        """Return the signing secret (A18). Store it only encrypted. ``within``: timeout in seconds."""
        document = self._read("get_webhook_secret", account_uid, check=_is_secret, within=within).document
        return str(document["secret"])

    def list_event_types(self, account_uid: str) -> tuple[Mapping[str, Any], ...]:
        """Return all event types as objects with ``event_type``. A list of plain names is converted (A19)."""
        document = self._read("list_event_types", account_uid, check=_has_event_types).document
        return tuple(_event_types(document))

    # -- hosted sessions -----------------------------------------------------------------------------------

    def create_hosted_session(
        self, account_uid: str, body: CreateHostedSession, *, idempotency_key: str
    ) -> HostedSessionResource:
        """Return ``session_id``, ``expires_at``, and two credentials: ``client_secret`` and ``hosted_url``."""
        check = has_text("session_id", "client_secret")
        answer = self._write("create_hosted_session", account_uid, body, idempotency_key, check=check)
        return HostedSessionResource(answer.document, answer.request_id)

    def get_hosted_session(self, session_id: str, client_secret: str) -> HostedSessionResource:
        """Read a session with its own credential (A29). Raises ``Gone`` for an expired one."""
        check = _session(session_id)
        answer = self._read("get_hosted_session", check=check, bearer=client_secret, session_id=session_id)
        return HostedSessionResource(answer.document, answer.request_id)

    def update_hosted_session(
        self, account_uid: str, session_id: str, body: UpdateHostedSession, *, idempotency_key: str
    ) -> HostedSessionResource:
        answer = self._write(
            "update_hosted_session",
            account_uid,
            body,
            idempotency_key,
            check=_session(session_id),
            session_id=session_id,
        )
        return HostedSessionResource(answer.document, answer.request_id)

    def expire_hosted_session(self, account_uid: str, session_id: str, *, idempotency_key: str) -> None:
        self._write("expire_hosted_session", account_uid, None, idempotency_key, session_id=session_id)


def _refund_of(payment_uid: str) -> Any:
    def check(document: Any) -> None:
        is_a(TransactionResource)(document)
        if document.get("payment_uid") not in (None, payment_uid):
            raise ValueError("the answer is about another payment")

    return check


def _is_secret(document: Any) -> None:
    has_text("secret")(document)
    if not document["secret"].isprintable():
        raise ValueError("the secret is not a text that can be used as a key")


def _session(session_id: str) -> Any:
    """Return a check that the answer is not about another session. The vendor marks no property as required."""

    def check(document: Any) -> None:
        if an_object(document).get("session_id") not in (None, session_id):
            raise ValueError("the answer is about another session")

    return check


def _import_results(document: Any) -> None:
    results = an_object(document).get("results")
    if not isinstance(results, list) or not all(isinstance(item, Mapping) for item in results):
        raise ValueError("the answer has no results")


def _has_event_types(document: Any) -> None:
    _event_types(document)


def _event_types(document: Any) -> list[Mapping[str, Any]]:
    rows = document
    if isinstance(document, Mapping):
        rows = next((document[name] for name in ("value", "items", "types") if name in document), None)
    if not isinstance(rows, list):
        raise ValueError("the answer is not a list")
    found = [{"event_type": row} if isinstance(row, str) else row for row in rows]
    if not all(isinstance(row, Mapping) and isinstance(row.get("event_type"), str) for row in found):
        raise ValueError("an event type has no name")
    return found
