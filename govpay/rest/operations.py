"""The journal: read operations, their actors and their outcomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied

from govpay.models import Operation
from govpay.models.people import user_id_of, username_of
from govpay.rest.base import Rows, RowView
from govpay.rest.filters import CentsFilter, KeyFilter, MomentFilter, RowFilter, TextFilter
from govpay.rest.rows import RowSerializer


class PersonField(serializers.CharField):
    """The username of a user, or the ID, which stay when the user is deleted; ``null`` if nobody signed in did it."""

    def __init__(self, help_text: str, part: Callable[[Any, str], str]) -> None:
        super().__init__(read_only=True, allow_null=True, help_text=help_text)
        self.part = part

    def get_attribute(self, instance: Any) -> str | None:
        return self.part(instance, str(self.field_name).removesuffix("_user_id")) or None


class OperationSerializer(RowSerializer):
    actor = PersonField("The user who started it. The name stays when the user is deleted.", username_of)
    actor_user_id = PersonField("The ID of the user who started it.", user_id_of)
    retried_by = PersonField("The user who tried it again last. The name stays when the user is deleted.", username_of)
    retried_by_user_id = PersonField("The ID of the user who tried it again last.", user_id_of)

    class Meta:
        model = Operation
        fields = (
            *("key", "action", "state", "account", "payment", "customer", "session", "amount", "currency"),
            *(
                "actor",
                "actor_user_id",
                "reason",
                "reference_id",
                "result_uid",
                "error",
                "error_code",
                "remote_request_id",
            ),
            *("created_at", "finished_at", "deadline_at", "checked_at", "sec_code", "authorized_at"),
            *("attempts", "attempted_at", "retried_by", "retried_by_user_id"),
        )


class OperationFilter(RowFilter):
    state = TextFilter()
    action = TextFilter()
    account = TextFilter()
    payment = TextFilter()
    customer = TextFilter()
    session = TextFilter()
    reference_id = TextFilter()
    key = KeyFilter()
    created_from = MomentFilter("created_at", "gte")
    created_before = MomentFilter("created_at", "lt")
    amount_from = CentsFilter("amount", "gte")
    amount_to = CentsFilter("amount", "lte")


class _Operations:
    model = Operation
    serializer_class = OperationSerializer
    relatives = ("actor", "retried_by")

    def joined_columns(self) -> tuple[str, ...]:
        name = get_user_model().USERNAME_FIELD
        users = (f"{column}__{name}" for column in self.relatives)
        return (*users, *(f"{column}_name" for column in self.relatives))


class OperationList(_Operations, Rows):
    filterset_class = OperationFilter
    order_column = "created_at"
    operations = {"GET": "list_operations"}
    reads = "Operations, newest first. Amounts are minor units of `currency`."


class OperationDetail(_Operations, RowView):
    lookup_field = "key"
    operations = {"GET": "get_operation"}

    def is_allowed(self, user: Any) -> bool:
        return True  # ``get_object`` checks: the actor may always see their own operation

    def get_object(self) -> Any:
        if super().is_allowed(self.request.user):
            return super().get_object()
        own = self.visible(Operation).filter(actor=self.request.user.pk, key=self.kwargs["key"])
        if not own.exists():
            raise PermissionDenied
        return super().get_object()

    reads = (
        "One operation. `state`: `started`, `succeeded` (accepted by the platform), `failed`, or `unknown`: it was "
        "sent, the answer was lost, and it is looked up until its outcome is known. `result_uid` is the uid of the "
        "result. `attempts` is the number of attempts, all with the same key and reference. "
        "The user who started it needs no permission to see it."
    )
