"""Runs all checks one after the other, in bounded time. A check that fails does not stop the next ones."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

from django.utils import timezone
from django.utils.translation import gettext as _

from govpay.doctor import contract, platform, queues, site, zones
from govpay.doctor.findings import CheckContext, Finding, Level, Report
from govpay.exceptions import ConfigurationError, GovPayError

logger = logging.getLogger("govpay.doctor")

Check = Callable[[CheckContext], Iterator[Finding]]

#: In the order of the report: a check comes after those that it depends on.
CHECKS: tuple[tuple[str, Check], ...] = (
    ("settings", site.check_settings),
    ("token", platform.check_token),
    ("reachability", platform.check_reachability),
    ("clock", platform.check_clock),
    ("cache", site.check_cache),
    ("worker", site.check_worker),
    ("beat", site.check_beat),
    ("queue", queues.check_queue),
    ("operations", queues.check_operations),
    ("restore", queues.check_restore),
    ("quarantine", queues.check_quarantine),
    ("sync", queues.check_sync),
    ("accounts", platform.check_accounts),
    ("webhooks", platform.check_webhooks),
    ("callback", platform.check_callbacks),
    ("test-event", platform.check_test_event),
    ("subscriptions", platform.check_subscriptions),
    ("secret", platform.check_secrets),
    ("site", site.check_site),
    ("checkout", site.check_checkout),
    ("zones", zones.check_zones),
    ("encryption", site.check_keys),
    ("contract", contract.check_contract),
)


def examine(checks: Iterable[tuple[str, Check]] = CHECKS) -> Report:
    """Run the checks and return their report. They only write a few keys of their own to the cache."""
    context = CheckContext()
    started, findings = timezone.now(), []
    clock = time.monotonic()
    for name, check in checks:
        findings += _run_check(name, check, context)
    return Report(tuple(findings), started, time.monotonic() - clock)


def _run_check(name: str, check: Check, context: CheckContext) -> list[Finding]:
    """Run one check and return its findings. An exception is reported as one more finding, after the others."""
    found: list[Finding] = []
    try:
        for finding in check(context):
            found.append(finding)
    except ConfigurationError as error:
        found.append(Finding(name, Level.ERROR, str(error), _("Correct the settings.")))
    except GovPayError as error:
        found.append(Finding(name, Level.ERROR, error.record, _("See what the platform says, and try again.")))
    except Exception:
        # The text of an unexpected error may contain a secret, so it is written to the log only.
        logger.exception("the check %s failed", name)
        what = _("The check could not be carried out.")
        found.append(Finding(name, Level.ERROR, what, _("The log of govpay.doctor has the details.")))
    return found
