"""A host site's receivers, for workers that a test starts: what they hear is written into a table of their own."""

from __future__ import annotations

from govpay import signals
from tests.signal_recorder import hear

#: Kept here, since signals hold their receivers weakly.
RECEIVERS = {name: hear(name) for name in signals.BY_NAME}
for _name, _receiver in RECEIVERS.items():
    signals.BY_NAME[_name].connect(_receiver)
