"""Signals for the host. Each is sent once per change, after the commit, from the outbox.

Every receiver gets ``sender`` (the model class), ``row`` (its instance, just read from the database) and ``source``
(``operation``, ``webhook`` or ``sync``: the one that brought the change first).
"""

from __future__ import annotations

from django.dispatch import Signal

#: ``row`` is the ``Payment``.
payment_captured = Signal()
payment_failed = Signal()
#: Sent for each refund that succeeds, possibly days after it was accepted; ``row`` is the ``Payment``.
payment_refunded = Signal()
#: Sent for each chargeback and each return by the bank; ``row`` is the ``Payment``. It may have another status by now.
payment_disputed = Signal()
payment_returned = Signal()

#: ``row`` is the ``HostedSession``.
session_completed = Signal()
session_expired = Signal()

#: ``row`` is the ``SavedPaymentMethod``, which is new, changed or deleted (``deleted_at``).
saved_method_changed = Signal()

#: ``row`` is the ``WebhookEvent``.
event_received = Signal()

#: ``row`` is the ``Operation``, in its final state.
operation_finished = Signal()

#: The signals by the names that outbox rows use.
BY_NAME: dict[str, Signal] = {name: value for name, value in list(globals().items()) if isinstance(value, Signal)}
