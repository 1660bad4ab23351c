"""The pages as payers and staff meet them: in Chromium, against the running demo."""
