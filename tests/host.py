"""Signal receivers of a host site, for workers that a test starts. They write each signal into a table."""

from __future__ import annotations

from govpay import signals
from tests.signal_recorder import hear

#: Kept here, because signals hold weak references to their receivers.
RECEIVERS = {name: hear(name) for name in signals.BY_NAME}
for _name, _receiver in RECEIVERS.items():
    signals.BY_NAME[_name].connect(_receiver)
