"""Many payments at once, for load tests and benchmarks: created by SQL only."""

from __future__ import annotations

from datetime import timedelta

from govpay.sandbox.api.fees import CARD_FLAT, CARD_RATES
from govpay.sandbox.clock import iso
from govpay.sandbox.platform import Platform

_SPREAD_SECONDS = 90 * 86_400
_CARDS = (("visa", "411111", "1111"), ("mastercard", "555555", "4444"), ("amex", "371449", "8431"))

# A table and not a subquery, because the random ids must be the same at each read.
_DRAW = """
CREATE TEMP TABLE drawn AS
WITH RECURSIVE counted (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < :count),
cards (card, prefix, last4, rate) AS (VALUES {cards})
SELECT n, base, prefix, last4, created(n) AS at, stamp(n) AS updated_at, printf('BULK-%07d', n) AS reference_id,
    (base * rate + 5000) / 10000 + {flat} AS fee, 'pay_' || lower(hex(randomblob(10))) AS uid,
    'trx_' || lower(hex(randomblob(10))) AS transaction_uid, 'txn_' || lower(hex(randomblob(10))) AS processor_uid
FROM (SELECT n, 1000 + n * 37 % 50000 AS base, n % 3 AS number FROM counted) JOIN cards ON card = number
"""
_PAYMENTS = """
INSERT INTO payments (uid, account_uid, reference_id, currency, status, base_amount, tax_amount,
    processing_fee_amount, total_amount, refunded_amount, created_at, captured_at, updated_at, private, doc)
SELECT uid, :account, reference_id, 'USD', 'captured', base, 0, fee, base + fee, 0, at, at, updated_at, '{}',
    json_object(
        'uid', uid, 'reference_id', reference_id, 'customer_uid', NULL, 'base_amount', base, 'tax_amount', 0,
        'processing_fee_amount', fee, 'total_amount', base + fee, 'refunded_amount', 0, 'currency', 'USD',
        'status', 'captured', 'payment_method', json_object(
            'payment_method_type', 'credit', 'credit', json_object(
                'last4', last4, 'exp_month', 12, 'exp_year', :year, 'bin', prefix, 'holder_name', 'Pat Example')),
        'session_id', NULL, 'decline_code', NULL, 'created_at', at, 'captured_at', at, 'updated_at', updated_at)
FROM drawn ORDER BY n
"""
_CAPTURES = """
INSERT INTO transactions (uid, account_uid, payment_uid, type, amount, currency, status, reference_id,
    processor_transaction_id, created_at, updated_at, private, doc)
SELECT transaction_uid, :account, uid, 'capture', base + fee, 'USD', 'succeeded', reference_id, processor_uid,
    at, updated_at, '{}', json_object(
        'uid', transaction_uid, 'payment_uid', uid, 'type', 'capture', 'amount', base + fee, 'currency', 'USD',
        'status', 'succeeded', 'reference_id', reference_id, 'processor_transaction_id', processor_uid,
        'reason', NULL, 'reason_code', NULL, 'created_at', at, 'updated_at', updated_at)
FROM drawn ORDER BY n
"""
_LEDGER = """
INSERT INTO ledger (kind, payment_uid, transaction_uid, account_uid, amount, currency, reference_id, at)
SELECT 'capture', uid, transaction_uid, :account, base + fee, 'USD', reference_id, updated_at FROM drawn ORDER BY n
"""


_BEFORE = "INSERT INTO {}_before (until, uid) SELECT :now, {} FROM drawn"


def add_payments(platform: Platform, account_uid: str, count: int, *, transactions: bool = True) -> list[str]:
    """Store `count` captured card payments with their captures and ledger entries. Returns their uids.

    They were created over the last 90 days. `updated_at` is now, one microsecond apart, because a reader
    of changes sees all of them as new.
    """
    if count < 1:
        return []
    store = platform.store
    cards = ", ".join(
        f"({number}, '{prefix}', '{last4}', {CARD_RATES[brand]})"
        for number, (brand, prefix, last4) in enumerate(_CARDS)
    )
    with store.transaction():
        now, stamps = platform.clock.now(), platform.clock.stamps(count)
        step = timedelta(seconds=_SPREAD_SECONDS) / count
        store.define("stamp", lambda n: stamps[n])
        store.define("created", lambda n: iso(now - step * (count - n)))
        named = {"count": count, "account": account_uid, "year": now.year + 3, "now": iso(now)}
        store.execute(_DRAW.format(cards=cards, flat=CARD_FLAT), named)
        made = [_PAYMENTS, _BEFORE.format("payments", "uid")]
        if transactions:
            made += [_CAPTURES, _BEFORE.format("transactions", "transaction_uid"), _LEDGER]
        for statement in made:
            store.execute(statement, named)
        uids = [str(row[0]) for row in store.execute("SELECT uid FROM drawn ORDER BY n")]
        store.execute("DROP TABLE drawn")
    return uids
