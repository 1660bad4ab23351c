"""Base views of the actions: each request has a key and a body, carries out one operation and returns its outcome."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db.models import Model
from django.urls import reverse
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.response import Response

from govpay.exceptions import OutcomeUnknown
from govpay.models import Operation
from govpay.operations import attempts, staff
from govpay.operations.engine import RequestKey
from govpay.operations.outcomes import outcome_again
from govpay.rest import bodies, idempotency
from govpay.rest.base import View
from govpay.rest.operations import OperationSerializer
from govpay.rest.rows import RowSerializer


class ActionView(View):
    """Base view of one action. The action has its own permission, which may differ from the view's for GET."""

    action: ClassVar[str]
    body: ClassVar[type[bodies.Body] | None] = None
    #: The serializer and the HTTP status of a successful response.
    result_class: ClassVar[type[RowSerializer]]
    status: ClassVar[int] = 200
    #: Name of the URL of the created object, for the ``Location`` header.
    made_at: ClassVar[str] = ""

    _key: uuid.UUID | None = None

    @property
    def answers(self) -> dict[int, Any]:
        return {self.status: self.result_class, 202: OperationSerializer}

    def is_allowed(self, user: Any) -> bool:
        return super().is_allowed(user) if self.request.method in ("GET", "HEAD") else self.may_act(user)

    def may_act(self, user: Any) -> bool:
        return staff.may(user, self.action)

    def post(self, request: Any, **address: Any) -> Response:
        self.demand_known()
        key = idempotency.key_of(request)
        given = bodies.read(self.body, request)
        target = self.target(**address)
        self.permit(target, given)
        self._key, bound = key, idempotency.bound(key, request, given)
        try:
            row = self._first_outcome(bound) or self.act(target, given, actor=request.user, key=bound)
        except OutcomeUnknown:
            operation = self.operation_of_key()
            if operation is None:
                raise
            return self._open(operation)
        return self.tell(row)

    def target(self, **address: Any) -> Any:
        """Return the object of the action. Raises ``NotFound``."""
        return None

    def permit(self, target: Any, given: dict[str, Any]) -> None:
        """Check permissions that depend on the body. Raises ``PermissionDenied``."""
        return

    def _first_outcome(self, key: RequestKey) -> Any:
        """Return the outcome of the first request with this key, without checking the rules again.

        ``None``: this is the first request, or the first one was not executed. Raises the error of the first request,
        ``KeyReused``, ``OperationInProgress`` and ``NotFound``.
        """
        earlier = self.operation_of_key()
        if earlier is None:
            idempotency.demand_unknown(key)
            return None
        idempotency.demand_same(earlier, key)
        if not self.visible(Operation).filter(pk=earlier.pk).exists():
            raise NotFound  # the user may no longer see this account
        idempotency.demand_idle(earlier)
        if attempts.is_not_executed(earlier) or not earlier.fingerprint:
            return None  # ``execute`` tries it again, or compares requests if the row has no fingerprint
        return outcome_again(earlier, self.result_class.Meta.model)

    def act(self, target: Any, given: dict[str, Any], **who: Any) -> Any:
        """Carry out the action and return the resulting row. Raises the errors of ``govpay.operations``."""
        raise NotImplementedError

    def operation_of_key(self) -> Operation | None:
        return None if self._key is None else idempotency.find(self._key)

    def choose(self, model: type[Model], name: str, **which: Any) -> Any:
        """Return the row named by the property ``name``. Raises ``ValidationError`` if the user may not see it."""
        row = self.visible(model).filter(**which).first()
        if row is None:
            raise ValidationError({name: ["Is not known here."]})
        return row

    def tell(self, row: Any) -> Response:
        operation = self.operation_of_key()
        headers = {"Operation-Id": str(operation.key)} if operation else {}
        # A uid with a slash has no URL. The action was done anyway, so the response lacks only the header.
        if self.made_at and "/" not in row.uid:
            headers["Location"] = self._address(self.made_at, row.uid)
        return Response(
            self.result_class(row, context={"request": self.request}).data, status=self.status, headers=headers
        )

    def _open(self, operation: Operation) -> Response:
        """Return 202: the request was sent, and its outcome is being looked up."""
        headers = {
            "Operation-Id": str(operation.key),
            "Location": self._address("operation", operation.key),
            "Retry-After": "60",
        }
        return Response(OperationSerializer(operation).data, status=202, headers=headers)

    def _address(self, name: str, which: Any) -> str:
        return str(self.request.build_absolute_uri(reverse(f"govpay:rest:{name}", args=[which])))


class QueuedSerializer(serializers.Serializer):
    outcome = serializers.CharField(
        help_text="`queued`, or `waiting`: the broker is down, and a worker processes it when the broker is back."
    )


class QueuedActionView(ActionView):
    """Base view of an action that is queued for a worker. It sends nothing to the platform and has no journal row."""

    permission: ClassVar[str]

    @property
    def answers(self) -> dict[int, Any]:
        return {202: QueuedSerializer}

    def may_act(self, user: Any) -> bool:
        return bool(user.has_perm(self.permission))

    def post(self, request: Any, **address: Any) -> Response:
        self.demand_known()
        key = idempotency.key_of(request)
        given = bodies.read(None, request)
        row = self.find(self.model, **address)
        answer = idempotency.once(idempotency.bound(key, request, given), lambda: {"outcome": self.queue(row)})
        return Response(answer, status=202)

    def queue(self, row: Any) -> str:
        """Send the task to the broker and return the ``outcome`` of the response."""
        raise NotImplementedError
