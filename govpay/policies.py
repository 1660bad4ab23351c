"""The old name of ``govpay.security.headers``, kept for one release."""

from govpay.security.headers import component_policy, page_policy

__all__ = ["component_policy", "page_policy"]
