"""The review queue: everything that staff must look at, for the staff page and for the digest by e-mail."""

from govpay.review.digest import send_digest
from govpay.review.flagged import Group
from govpay.review.items import Item, count_items, find_items

__all__ = ["Group", "Item", "count_items", "find_items", "send_digest"]
