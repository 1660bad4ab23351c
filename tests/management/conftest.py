"""Fixtures of the commands' tests."""

from tests.operations.conftest import impatient, merchant  # noqa: F401 - fixtures
