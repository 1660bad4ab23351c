"""What error reports of the demo site leave out of its settings."""

from __future__ import annotations

import re

from django.views.debug import SafeExceptionReporterFilter


class Reports(SafeExceptionReporterFilter):
    """Django's, which knows secrets by their names; addresses of servers hold passwords as well."""

    hidden_settings = re.compile(f"{SafeExceptionReporterFilter.hidden_settings.pattern}|BROKER|LOCATION|_URL", re.I)
