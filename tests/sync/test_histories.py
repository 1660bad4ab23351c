"""Faults R5: rows change, vanish and appear while they are read. The next full run makes all rows correct."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from govpay.models import Payment, SyncRun
from govpay.sync.pull import pull
from tests.amounts import rounds
from tests.reading import read

pytestmark = pytest.mark.django_db(transaction=True)

PARTS = 6

STATUSES = ("captured", "voided", "partially_refunded", "refunded", "charged_back")


class World:
    """One account of the platform, changed at random by a seed."""

    def __init__(self, sandbox: Any, seed: int) -> None:
        self.sandbox = sandbox
        self.chance = random.Random(seed)
        self.account = sandbox.add_account()["uid"]
        self.uids: list[str] = sandbox.add_payments(self.account, self.chance.randint(0, 9), transactions=False)
        self.removed: set[str] = set()

    def change(self, _: SyncRun | None = None) -> None:
        """Make random changes between two pages. The worker may be killed there too."""
        for _ in range(self.chance.choice((0, 0, 1, 2))):
            self.chance.choice((self.add, self.touch, self.touch, self.touch_in_the_same_instant, self.remove))()
        if self.chance.random() < 0.1:
            raise KeyboardInterrupt

    def add(self) -> None:
        self.uids += self.sandbox.add_payments(self.account, self.chance.randint(1, 3), transactions=False)

    def touch(self, **more: Any) -> None:
        if self.uids:
            self.sandbox.touch("payment", self.chance.choice(self.uids), status=self.chance.choice(STATUSES), **more)

    def touch_in_the_same_instant(self) -> None:
        """As the last change of all: a row's own time never goes back."""
        if self.uids:
            last = max(document["updated_at"] for document in self.sandbox.all("payment", self.account))
            self.touch(updated_at=last)

    def remove(self) -> None:
        if self.uids:
            uid = self.uids.pop(self.chance.randrange(len(self.uids)))
            self.sandbox.remove("payment", uid)
            self.removed.add(uid)

    def read(self, **options: Any) -> None:
        """One walk that is disturbed after each of its pages."""
        try:
            run = pull("payments", self.account, progress=self.change, **options)
        except KeyboardInterrupt:
            return
        assert run.state == "succeeded", run.error
        assert not run.rejected

    def check(self) -> None:
        rows = Payment.objects.filter(account=self.account)
        there = {document["uid"]: document for document in self.sandbox.all("payment", self.account)}
        assert {row.uid: row.raw for row in rows if row.deleted_at is None} == there
        assert {row.uid: row.status for row in rows if row.deleted_at is None} == {
            uid: document["status"] for uid, document in there.items()
        }
        assert {row.uid for row in rows if row.deleted_at is not None} <= self.removed


@pytest.mark.soak(0.5)
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_or_doubled_after_the_next_full_run(
    sandbox: Any, pages_of: Callable[[int], None], part: int
) -> None:
    """R5: of the platform's rows and ours, a thousand histories by ``make soak``."""
    for number in rounds(170, 4, 40):
        seed = number * PARTS + part
        world = World(sandbox, seed)
        pages_of(world.chance.choice((1, 2, 3, 5)))
        for _ in range(world.chance.randint(1, 3)):
            world.read(full=world.chance.random() < 0.4)
        if world.chance.random() < 0.5:
            world.read(full=True)
            for uid in list(world.uids)[:1]:  # the next full run may go on from where that one died
                sandbox.touch("payment", uid)
        read("payments", world.account)
        read("payments", world.account, full=True)
        if not finished_in_one(world):
            read("payments", world.account, full=True)
        try:
            world.check()
        except AssertionError as error:
            raise AssertionError(f"history {seed}") from error


def finished_in_one(world: World) -> bool:
    """Whether the last full run began at the top; one that was resumed has swept its first part before."""
    last = SyncRun.objects.filter(account=world.account, mode="full").order_by("-pk")[:2]
    return len(last) < 2 or last[1].state == "succeeded"
