"""Whether everything still fits: one set of checks for the command, the staff page and monitors."""

from govpay.doctor.examination import examine
from govpay.doctor.findings import Finding, Level, Report

__all__ = ["Finding", "Level", "Report", "examine"]
