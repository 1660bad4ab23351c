"""Helpers for the tests of host sites: signed deliveries here, and pytest fixtures in ``govpay.testing.plugin``."""

from govpay.testing.events import SignedEvent, signed_event

__all__ = ["SignedEvent", "signed_event"]
