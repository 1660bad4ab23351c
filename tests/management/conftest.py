"""What tests of commands share."""

from tests.operations.conftest import impatient, merchant  # noqa: F401 - fixtures
