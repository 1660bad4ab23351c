"""The courier: signs the deliveries of the outbox and posts them from its own threads, until a 2xx answers each."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import queue
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from govpay.sandbox.clock import parse
from govpay.sandbox.platform import Platform
from govpay.sandbox.store import StoredRow
from govpay.sandbox.webhooks import outbox
from govpay.sandbox.webhooks.outbox import Delivery

THREADS = 4
TIMEOUT = 10.0
STALE = 5 * 3600
# A delivery that `reorder` holds back is sent after this time even if no other one follows.
HELD_BACK = 1.0
# The clock may be moved at any time, so the waiting time is limited.
MAX_SLEEP = 600.0


class NotHere(OSError):
    """The address is not on this machine. The sandbox sends requests to this machine only."""


class Courier:
    """One thread finds due deliveries; up to four threads post them, one at a time for each account.

    A slow receiver therefore delays no other account, and the events of an account are sent in order unless
    a delivery fails. Nothing here runs inside a request of the platform.
    """

    def __init__(self, platform: Platform, carry_out_due: Callable[[Platform], str | None]) -> None:
        """`carry_out_due` carries out what is due and returns the time of the next due change, or None."""
        self.platform = platform
        self._run_due_and_look_ahead = carry_out_due
        self._turn = threading.Condition()
        # `_turn` protects all attributes below.
        self._news = False
        self._stopping = False
        self._busy: set[str] = set()
        self._sockets: dict[socket.socket, float] = {}
        # By account: the delivery that `reorder` holds back, and the end of its wait (monotonic).
        self._held_back: dict[str, tuple[int, float]] = {}
        self._was_held_back: set[int] = set()
        # Only the thread that finds due deliveries starts threads.
        self._jobs: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        outbox.resume(self.platform)
        self.platform.wake = self.wake
        self._start_thread(self._look_out)

    def _start_thread(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True, name="sandbox-courier")
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """End every thread. Unfinished deliveries stay undelivered and are sent after the next start."""
        with self._turn:
            self._stopping = True
            self._turn.notify_all()
        self.platform.wake = lambda: None
        # The first thread starts the others. Once it has ended, the list is complete.
        self._join(self._threads[0])
        for _ in self._threads[1:]:
            self._jobs.put(None)
        for thread in self._threads[1:]:
            self._join(thread)

    def _join(self, thread: threading.Thread) -> None:
        # Repeated, because a socket that is about to connect cannot be shut down yet.
        while thread.is_alive():
            self._hang_up(float("inf"))
            thread.join(0.02)

    def wake(self) -> None:
        with self._turn:
            self._news = True
            self._turn.notify_all()

    def rest(self, seconds: float) -> None:
        """Wait for a notification, at most `seconds`."""
        with self._turn:
            self._turn.wait(seconds)

    # The thread that finds due deliveries.

    def _look_out(self) -> None:
        while True:
            with self._turn:
                if self._stopping:
                    return
                self._news = False
            nap = self._look()
            with self._turn:
                if not self._news and not self._stopping:
                    self._turn.wait(nap)

    def _look(self) -> float:
        """Hand out due deliveries. Returns the seconds until the next one is due."""
        self._hang_up(time.monotonic())
        instants = [self._carry_out_due()]
        if not self.platform.webhook_faults.held:
            self._hand_out()
            instants.append(outbox.next_instant(self.platform))
        at = outbox.now(self.platform)
        sleeps = [instant - at for instant in instants if instant is not None]
        with self._turn:
            sleeps += [end - time.monotonic() for _, end in self._held_back.values()]
            # Running posts are watched, so that none takes longer than TIMEOUT.
            sleeps.append(1.0 if self._busy else MAX_SLEEP)
        return min(max(0.01, min(sleeps)), MAX_SLEEP)

    def _carry_out_due(self) -> float | None:
        """Carry out what is due (settle, expire), if an account receives webhooks. Returns the next due time."""
        store = self.platform.store
        if not store.count("account", "webhook_enabled = 1 AND callback_url IS NOT NULL"):
            return None
        instant = self._run_due_and_look_ahead(self.platform)
        return parse(instant).timestamp() if instant else None

    def _hand_out(self) -> None:
        while True:
            with self._turn:
                if len(self._busy) >= THREADS or self._stopping:
                    return
                self._let_go(time.monotonic())
                busy, waiting = set(self._busy), {seq for seq, _ in self._held_back.values()}
            delivery = outbox.next_due(self.platform, busy, waiting)
            if delivery is None:
                return
            if outbox.is_late(self.platform, delivery):
                outbox.give_up(self.platform, delivery)
                continue
            with self._turn:
                if self._holds_back(delivery):
                    continue
                self._busy.add(delivery.account_uid)
                wanted = len(self._busy)
            if len(self._threads) - 1 < wanted:
                self._start_thread(self._post_all)
            self._jobs.put(delivery)

    def _holds_back(self, delivery: Delivery) -> bool:
        """Return whether `reorder` holds it back: one at a time for an account, each at most once."""
        if delivery.account_uid in self._held_back or delivery.seq in self._was_held_back:
            return False
        if not self.platform.webhook_faults.take("reorder"):
            return False
        self._was_held_back.add(delivery.seq)
        self._held_back[delivery.account_uid] = (delivery.seq, time.monotonic() + HELD_BACK)
        return True

    def _let_go(self, moment: float) -> None:
        self._held_back = {uid: kept for uid, kept in self._held_back.items() if kept[1] > moment}

    def _hang_up(self, moment: float) -> None:
        """End the posts that exceed the timeout at that time."""
        with self._turn:
            overdue = [each for each, end in self._sockets.items() if end <= moment]
        for each in overdue:
            # The other side, or its own thread, may have closed it already.
            with contextlib.suppress(OSError):
                # On the raw socket, because only the posting thread may use the TLS layer.
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    # The threads that post.

    def _post_all(self) -> None:
        while (delivery := self._jobs.get()) is not None:
            try:
                self._deliver(delivery)
            finally:
                with self._turn:
                    self._busy.discard(delivery.account_uid)
                    # The next delivery was sent, so the one that was held back for it can be sent.
                    self._held_back.pop(delivery.account_uid, None)
                self.wake()

    def _deliver(self, delivery: Delivery) -> None:
        account = self.platform.store.get("account", delivery.account_uid)
        if account is None or not outbox.listens(account):
            outbox.give_up(self.platform, delivery)
            return
        faults = self.platform.webhook_faults
        body, headers = _signed(
            delivery, account.private["webhook_secret"], faults.take("stale"), faults.take("bad_signature")
        )
        statuses = [self._post(account, body, headers) for _ in range(2 if faults.take("duplicate") else 1)]
        with self._turn:
            if self._stopping and None in statuses:
                return
        arrived = [status for status in statuses if status is not None and 200 <= status < 300]
        outbox.record(self.platform, delivery, arrived[0] if arrived else statuses[-1])

    def _post(self, account: StoredRow, body: bytes, headers: dict[str, str]) -> int | None:
        """Post once. Returns the status of the response, or None if there was none in time."""
        begun = time.monotonic()
        try:
            parts = urlsplit(str(account.doc["callback_url"]))
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            with self._line(parts.scheme, parts.hostname or "", parts.port) as connection:
                connection.request("POST", target, body, headers)
                with connection.getresponse() as response:
                    # An answer that was cut off by the timeout may look complete.
                    return response.status if time.monotonic() - begun < TIMEOUT else None
        except (OSError, ValueError, http.client.HTTPException):
            return None

    @contextlib.contextmanager
    def _line(self, scheme: str, host: str, port: int | None) -> Iterator[http.client.HTTPConnection]:
        """Open a connection. Its socket is registered before it connects, so that `stop` can end it at any moment."""
        family, address = _loopback(host)
        line = socket.socket(family, socket.SOCK_STREAM)
        if scheme == "https":
            line = ssl.create_default_context().wrap_socket(line, server_hostname=host)
        try:
            with self._turn:
                if self._stopping:
                    raise NotHere("the courier is stopping")
                self._sockets[line] = time.monotonic() + TIMEOUT
            line.settimeout(TIMEOUT)
            line.connect((address, port or (443 if scheme == "https" else 80)))
            connection = http.client.HTTPConnection(host, port)
            connection.sock = line
            yield connection
        finally:
            with self._turn:
                self._sockets.pop(line, None)
            line.close()


def _loopback(host: str) -> tuple[socket.AddressFamily, str]:
    """Family and address of a loopback host. Raises `NotHere` for others: test data must not reach a real site."""
    if host == "::1":
        return socket.AF_INET6, host
    if host == "localhost":
        return socket.AF_INET, "127.0.0.1"
    if host.startswith("127."):
        return socket.AF_INET, host
    raise NotHere(f"{host} is not on this machine")


def _signed(delivery: Delivery, secret: str, stale: bool, forged: bool) -> tuple[bytes, dict[str, str]]:
    """Return body and headers [/guides/webhooks/]. The signature covers the body's `timestamp` and its bytes."""
    body, timestamp = delivery.body, delivery.timestamp
    if stale:
        timestamp -= STALE
        body = outbox.encoded({**json.loads(body), "timestamp": timestamp})
    key = secrets.token_hex(24) if forged else secret
    digest = hmac.new(key.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return body, {
        "Content-Type": "application/json",
        "User-Agent": "govpay-sandbox",
        "X-Webhook-Signature": f"sha256={digest}",
    }
