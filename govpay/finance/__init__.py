"""The finance desk's own rows: what staff write and decide about money that the platform moved."""

from govpay.finance.notes import add_note

__all__ = ["add_note"]
