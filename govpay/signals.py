"""News for host sites. Each is sent once per real change, after the commit, from the outbox.

Every receiver gets ``sender`` (the model class), ``row`` (its instance, fresh from the database) and
``source``: ``operation``, ``webhook`` or ``sync``, whichever brought the change first.
"""

from __future__ import annotations

from django.dispatch import Signal

#: ``row`` is the ``Payment``.
payment_captured = Signal()
payment_failed = Signal()
#: For each refund that succeeds, be it days after it was accepted; ``row`` is the ``Payment``.
payment_refunded = Signal()
#: For each chargeback and each return by the bank; ``row`` is the ``Payment``, which may have recovered since.
payment_disputed = Signal()
payment_returned = Signal()

#: ``row`` is the ``HostedSession``.
session_completed = Signal()
session_expired = Signal()

#: ``row`` is the ``SavedPaymentMethod``: new, changed, or gone (``deleted_at``).
saved_method_changed = Signal()

#: ``row`` is the ``WebhookEvent``.
event_received = Signal()

#: ``row`` is the ``Operation``, in its final state.
operation_finished = Signal()

#: What an outbox row may name.
BY_NAME: dict[str, Signal] = {name: value for name, value in list(globals().items()) if isinstance(value, Signal)}
