"""What the checks of one examination share: the time that is left, and whether the platform answers."""

from __future__ import annotations

import time

#: Seconds that all calls to the platform may take together, and any one of them.
NETWORK_TIME = 20.0
ONE_CALL = 5.0


class Visit:
    def __init__(self) -> None:
        self._end = time.monotonic() + NETWORK_TIME
        #: Set by the check of reachability; no call is made to a platform that does not answer.
        self.reachable = False

    @property
    def within(self) -> float:
        """Seconds for the next call; 0 when there is no time for one."""
        left = self._end - time.monotonic()
        return min(ONE_CALL, left) if left > 0.5 else 0.0
