"""One examination: every check in turn, none of which stops the others, in bounded time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

from django.utils import timezone
from django.utils.translation import gettext as _

from govpay.doctor import accounts, contract, keys, network, processes, queues, shared, site
from govpay.doctor.findings import Finding, Level, Report
from govpay.doctor.visit import Visit
from govpay.exceptions import ConfigurationError, GovPayError

logger = logging.getLogger("govpay.doctor")

Check = Callable[[Visit], Iterator[Finding]]

#: In the order in which they are told: what others depend on comes first.
CHECKS: tuple[tuple[str, Check], ...] = (
    ("settings", site.check_settings),
    ("token", network.check_token),
    ("reachability", network.check_reachability),
    ("clock", network.check_clock),
    ("cache", shared.check_cache),
    ("worker", processes.check_worker),
    ("beat", processes.check_beat),
    ("queue", queues.check_queue),
    ("operations", queues.check_operations),
    ("restore", queues.check_restore),
    ("quarantine", queues.check_quarantine),
    ("sync", queues.check_sync),
    ("accounts", accounts.check_accounts),
    ("webhooks", accounts.check_webhooks),
    ("callback", accounts.check_callbacks),
    ("test-event", accounts.check_test_event),
    ("subscriptions", accounts.check_subscriptions),
    ("secret", accounts.check_secrets),
    ("site", site.check_site),
    ("checkout", site.check_checkout),
    ("encryption", keys.check_keys),
    ("contract", contract.check_notices),
)


def examine(checks: Iterable[tuple[str, Check]] = CHECKS) -> Report:
    """Carry out the checks. Only reads, but for a few marks of its own in the cache."""
    visit = Visit()
    started, findings = timezone.now(), []
    clock = time.monotonic()
    for name, check in checks:
        findings += _guarded(name, check, visit)
    return Report(tuple(findings), started, time.monotonic() - clock)


def _guarded(name: str, check: Check, visit: Visit) -> list[Finding]:
    found: list[Finding] = []
    try:
        for finding in check(visit):
            found.append(finding)
    except ConfigurationError as error:
        found.append(Finding(name, Level.ERROR, str(error), _("Correct the settings.")))
    except GovPayError as error:
        found.append(Finding(name, Level.ERROR, str(error), _("See what the platform says, and try again.")))
    except Exception as error:
        # The text of an unforeseen error may quote anything: it goes to the log alone.
        logger.exception("the check %s could not be carried out", name)
        what = _("The check could not be carried out (%(error)s).") % {"error": type(error).__name__}
        found.append(Finding(name, Level.ERROR, what, _("The log of govpay.doctor has the details.")))
    return found
