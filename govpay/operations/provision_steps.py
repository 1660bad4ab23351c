"""The steps of a provisioning run: what differs, what was done about it, and which went wrong."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from govpay import exceptions
from govpay.exceptions import GovPayError, OperationInProgress
from govpay.operations.provision_file import CENTS

logger = logging.getLogger("govpay.operations")

UNCHANGED, CHANGED, PLANNED, FAILED, LEFT = "unchanged", "changed", "planned", "failed", "left"

#: Option -> key of the file, for those that differ: cents here, dollars there.
FILE_KEYS = {option: key for key, option in CENTS.items()}

#: While another run does the same, a step is compared anew for so many seconds.
STEP_TIMEOUT = 10.0


@dataclass(frozen=True)
class Change:
    """One property as it is and as it shall be; ``None``: not there."""

    name: str
    before: Any
    after: Any

    def lines(self) -> Iterator[str]:
        """As a diff shows it, in the words of the file."""
        name = FILE_KEYS.get(self.name, self.name)
        for sign, value in (("-", self.before), ("+", self.after)):
            if value is not None:
                shown = f"{value // 100}.{value % 100:02}" if name != self.name else value
                yield f"{sign} {name} = {json.dumps(shown, ensure_ascii=False)}"


@dataclass
class Step:
    """One thing that was compared, and what came of it."""

    name: str
    #: Key path of this part in the file.
    path: str
    state: str = UNCHANGED
    changes: tuple[Change, ...] = ()
    #: Why the step failed or was not tried.
    why: str = ""
    #: What differs and cannot be changed from here.
    notes: list[str] = field(default_factory=list)


class Steps:
    """Carries steps out one after the other; ``tell`` hears of each as it ends."""

    def __init__(self, tell: Callable[[Step], object], *, dry_run: bool) -> None:
        self._tell, self.dry_run = tell, dry_run
        self.steps: list[Step] = []
        #: Why no further step is tried.
        self.halted = ""

    def carry_out(
        self,
        step: Step,
        differ: Callable[[], Iterable[Change]],
        act: Callable[[], object],
        read: Callable[[], object] = lambda: None,
    ) -> Step:
        """Compare, act if anything differs, and tell. ``read`` is called before it is compared anew."""
        end, again = time.monotonic() + STEP_TIMEOUT, False
        while not self.halted:
            try:
                step.notes.clear()
                if again:
                    read()
                step.changes = tuple(differ())
                if step.changes and not self.dry_run:
                    act()
                    step.state = CHANGED
                elif step.changes:
                    step.state = PLANNED
            except OperationInProgress as error:
                if time.monotonic() < end:
                    time.sleep(0.5)
                    again = True
                    continue
                step.state, step.why = FAILED, str(error)
            except (GovPayError, ValueError) as error:
                step.state, step.why = FAILED, str(error)
                self.halted = "It was not tried after that." if _halts(error) else ""
            except Exception as error:
                # What is wrong with one account must not keep the others from being set up.
                logger.exception("the step %s failed", step.name)
                step.state, step.why = FAILED, f"It failed here ({type(error).__name__}); the log says where."
            break
        else:
            step.state, step.why = LEFT, self.halted
        self.tell(step)
        return step

    def tell(self, step: Step) -> None:
        self.steps.append(step)
        self._tell(step)


def _halts(error: Exception) -> bool:
    """Whether the next step would fail in the same way: the platform is out of reach, or does not know us."""
    if isinstance(error, exceptions.ConfigurationError | exceptions.RateLimited):
        return True
    status = getattr(error, "status", None)
    kinds = exceptions.APIConnectionError | exceptions.AuthenticationError
    return isinstance(error, kinds) and status in (None, 401)
