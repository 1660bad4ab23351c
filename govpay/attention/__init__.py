"""What needs a person: one list for the staff page and for the digest by e-mail."""

from govpay.attention.digest import send_digest
from govpay.attention.flagged import Group
from govpay.attention.items import Item, count_items, find_items

__all__ = ["Group", "Item", "count_items", "find_items", "send_digest"]
