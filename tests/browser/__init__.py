"""Tests of the pages of payers and staff in Chromium, against the running demo."""
