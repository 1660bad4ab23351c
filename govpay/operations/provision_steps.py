"""The steps of a provisioning run: the differences and the state of each step, and how errors are handled."""

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

#: Option (cents) -> key of the file (dollars), where the two have different names.
FILE_KEYS = {option: key for key, option in CENTS.items()}

#: Seconds during which a step is compared again while another run makes the same change.
STEP_TIMEOUT = 10.0


@dataclass(frozen=True)
class Change:
    """One property with its present and its wanted value; ``None``: it does not exist."""

    name: str
    before: Any
    after: Any

    def lines(self) -> Iterator[str]:
        """Yield the lines of a diff, with the names and values of the file."""
        name = FILE_KEYS.get(self.name, self.name)
        for sign, value in (("-", self.before), ("+", self.after)):
            if value is not None:
                shown = f"{value // 100}.{value % 100:02}" if name != self.name else value
                yield f"{sign} {name} = {json.dumps(shown, ensure_ascii=False)}"


@dataclass
class Step:
    """One part of the file that is compared with the platform, and the result."""

    name: str
    #: Key path of this part in the file.
    path: str
    state: str = UNCHANGED
    changes: tuple[Change, ...] = ()
    #: Why the step failed or was not tried.
    why: str = ""
    #: Differences that cannot be changed from here.
    notes: list[str] = field(default_factory=list)


class Steps:
    """Carries out steps one after the other, and calls ``tell`` with each step when it ends."""

    def __init__(self, tell: Callable[[Step], object], *, dry_run: bool) -> None:
        self._tell, self.dry_run = tell, dry_run
        self.steps: list[Step] = []
        #: Why no further step is tried; empty while steps are tried.
        self.halted = ""

    def carry_out(
        self,
        step: Step,
        differ: Callable[[], Iterable[Change]],
        act: Callable[[], object],
        read: Callable[[], object] = lambda: None,
    ) -> Step:
        """Call ``differ``, then ``act`` if anything differs, then report the step. Return the step.

        While another run makes the same change, this is repeated until ``STEP_TIMEOUT``. ``read`` is called before each
        repetition.
        """
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
                self.halted = "Not tried, because an earlier step failed." if _halts(error) else ""
            except Exception as error:
                # An error in one account must not stop the setup of the other accounts.
                logger.exception("the step %s failed", step.name)
                step.state, step.why = (
                    FAILED,
                    f"Unexpected error in this program ({type(error).__name__}); see the log.",
                )
            break
        else:
            step.state, step.why = LEFT, self.halted
        self.tell(step)
        return step

    def tell(self, step: Step) -> None:
        self.steps.append(step)
        self._tell(step)


def _halts(error: Exception) -> bool:
    """Return whether the next step would fail too, because of settings, connection, rate limit or credentials."""
    if isinstance(error, exceptions.ConfigurationError | exceptions.RateLimited):
        return True
    status = getattr(error, "status", None)
    kinds = exceptions.APIConnectionError | exceptions.AuthenticationError
    return isinstance(error, kinds) and status in (None, 401)
