"""Hide settings with secrets in the error reports of the demo site."""

from __future__ import annotations

import re

from django.views.debug import SafeExceptionReporterFilter


class Reports(SafeExceptionReporterFilter):
    """Extends Django's filter, which knows secrets by their names. URLs of servers may contain passwords too."""

    hidden_settings = re.compile(f"{SafeExceptionReporterFilter.hidden_settings.pattern}|BROKER|LOCATION|_URL", re.I)
