"""What tests of commands share."""

from tests.operations.conftest import impatient, town  # noqa: F401 - fixtures
