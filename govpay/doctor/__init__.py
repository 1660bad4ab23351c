"""The checks of a site and of its connection to the platform, for the command, the staff page and monitors.

``runner`` runs them. ``site``, ``platform`` and ``queues`` hold the checks, grouped by subject. ``findings`` defines
the input and the result of a check. The workers call ``heartbeats``.
"""

from govpay.doctor.findings import Finding, Level, Report
from govpay.doctor.runner import examine

__all__ = ["Finding", "Level", "Report", "examine"]
