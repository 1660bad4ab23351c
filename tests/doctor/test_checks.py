"""Each check of the doctor: its findings for a site without problems and for one problem."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.cache import caches
from django.utils import timezone

from govpay import operations
from govpay.cache import HEARTBEAT_KEY
from govpay.connection import get_authorizer, get_endpoints, reset
from govpay.doctor import Finding, Level, examine, heartbeats, platform
from govpay.doctor import findings as doctor_findings
from govpay.doctor import site as site_checks
from govpay.doctor.runner import CHECKS
from govpay.models import (
    Client,
    ContractNotice,
    Heartbeat,
    Operation,
    PaymentAccount,
    SyncCursor,
    SyncRun,
    WebhookEvent,
)
from govpay.sync.events import HANDLERS
from tests.doctor.conftest import Findings, subscribe
from tests.patience import Clock
from tests.processes import start_python
from tests.reading import watch

pytestmark = pytest.mark.django_db(transaction=True)

LOCMEM = "django.core.cache.backends.locmem.LocMemCache"


def ago(**span: float) -> dt.datetime:
    return timezone.now() - dt.timedelta(**span)


def worst(found: list[Finding]) -> Finding:
    assert found
    return max(found, key=lambda finding: ["ok", "warning", "error"].index(finding.level))


def assert_is(found: list[Finding], level: Level, text: str) -> None:
    finding = worst(found)
    assert (finding.level, text in finding.what) == (level, True), found
    assert finding.hint or level is Level.OK, "a problem is reported without a hint how to solve it"


def use(settings: Any, **changes: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, **changes}


def test_each_check_is_ok_on_a_site_in_order(site: Any) -> None:
    found = examine().findings
    assert {finding.check for finding in found} == {name for name, _check in CHECKS}
    assert {finding.level for finding in found} == {Level.OK}, found


# --- The platform ------------------------------------------------------------------------------------


def test_token_that_is_refused(findings: Findings, settings: Any) -> None:
    caches["default"].clear()
    use(settings, CLIENT_SECRET="canary-wrong")
    found = findings("token")
    assert worst(found).level is Level.ERROR
    assert "CLIENT_SECRET" in worst(found).hint
    assert "canary" not in str(found)


def test_token_that_could_not_be_renewed(findings: Findings, site: Any, settings: Any) -> None:
    get_authorizer().token()
    authorizer = get_authorizer()
    site.fault("POST /oauth2/token", status=500, times=99)
    with pytest.raises(Exception, match="500"):
        authorizer.refresh(force=True)
    assert_is(findings("token"), Level.WARNING, "The last attempt to renew it failed")


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        ({"status": 403}, "SCOPE"),
        ({"status": 404}, "API_URL"),
        ({"status": 500}, "API_URL"),
        ({"close": "before"}, "network"),
    ],
)
def test_platform_that_does_not_answer(findings: Findings, site: Any, fault: dict[str, Any], hint: str) -> None:
    site.fault("GET /api/clients", times=99, **fault)
    found = findings("reachability")
    assert worst(found).level is Level.ERROR
    assert hint in worst(found).hint


def test_platform_that_asks_for_a_pause(findings: Findings, site: Any) -> None:
    site.fault("GET /api/clients", status=429, retry_after=60, times=1)
    assert worst(findings("reachability")).level is Level.WARNING


@pytest.mark.parametrize(
    ("seconds", "level"), [(30, Level.OK), (-90, Level.WARNING), (90, Level.WARNING), (300, Level.ERROR)]
)
def test_clock(findings: Findings, monkeypatch: Any, seconds: float, level: Level) -> None:
    transport = get_endpoints().transport

    def note(raw: Any) -> None:
        transport.skew = seconds

    monkeypatch.setattr(transport, "_note_skew", note)
    assert worst(findings("clock")).level is level


def test_clock_of_a_platform_that_tells_none(site: Any) -> None:
    reset()
    found = list(platform.check_clock(doctor_findings.CheckContext()))
    assert_is(found, Level.WARNING, "not known")


# --- Cache, worker, beat -----------------------------------------------------------------------------


def test_cache_of_one_process_is_an_error_beside_workers(findings: Findings, settings: Any) -> None:
    settings.CACHES = {**settings.CACHES, "own": {"BACKEND": LOCMEM}}
    use(settings, CACHE="own")
    assert_is(findings("cache"), Level.ERROR, "Each process has its own cache")
    Heartbeat.objects.all().delete()
    settings.DEBUG = True
    assert worst(findings("cache")).level is Level.WARNING


def test_cache_of_files_is_a_warning(findings: Findings, settings: Any, tmp_path: Any) -> None:
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    settings.CACHES = {**settings.CACHES, "files": {"BACKEND": backend, "LOCATION": str(tmp_path)}}
    use(settings, CACHE="files")
    heartbeats.record_beat()
    assert_is(findings("cache"), Level.WARNING, "not atomic")


def test_cache_that_is_not_the_workers(findings: Findings) -> None:
    """Judged by the key of the last tick, not by the settings."""
    assert_is(findings("cache"), Level.OK, "is shared with the worker")
    caches["default"].set(HEARTBEAT_KEY, "of another site")
    assert_is(findings("cache"), Level.ERROR, "is not shared with the worker")


def test_cache_that_another_process_fills_is_shared(findings: Findings) -> None:
    process = start_python("from govpay.doctor import heartbeats; heartbeats.record_beat()")
    _out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert_is(findings("cache"), Level.OK, "is shared with the worker")


def test_cache_that_no_worker_proves(findings: Findings) -> None:
    Heartbeat.objects.all().delete()
    assert_is(findings("cache"), Level.OK, "no worker is alive to prove")


def test_cache_that_fails_or_forgets(findings: Findings, monkeypatch: Any, settings: Any) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("redis://:canary@cache")

    monkeypatch.setattr(type(caches["default"]), "add", fail)
    found = findings("cache")
    assert_is(found, Level.ERROR, "fails (ConnectionError)")
    assert "canary" not in str(found)
    monkeypatch.setattr(type(caches["default"]), "add", lambda *_args, **_options: True)
    assert_is(findings("cache"), Level.ERROR, "does not keep")
    use(settings, CACHE="nowhere")
    assert_is(list(site_checks.check_cache(doctor_findings.CheckContext())), Level.ERROR, "There is no cache 'nowhere'")


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_process_that_is_silent_or_was_never_seen(findings: Findings, name: str) -> None:
    Heartbeat.objects.filter(name=name).update(last_seen=ago(minutes=6))
    assert_is(findings(name), Level.ERROR, "6 min ago")
    Heartbeat.objects.filter(name=name).delete()
    assert_is(findings(name), Level.WARNING, "ever seen")


def test_heartbeats_without_a_gap_keep_their_start(site: Any) -> None:
    Heartbeat.objects.update(started_at=ago(days=3), last_seen=ago(minutes=1))
    heartbeats.record_beat()
    assert Heartbeat.objects.get(name="beat").started_at < ago(days=2)
    Heartbeat.objects.update(last_seen=ago(minutes=9))
    heartbeats.record_beat()
    assert Heartbeat.objects.get(name="beat").started_at > ago(minutes=1)


# --- What waits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "level"), [(1, Level.OK), (10, Level.WARNING), (90, Level.ERROR)])
def test_queue_age(findings: Findings, site: Any, minutes: int, level: Level) -> None:
    WebhookEvent.objects.create(
        account_id=site.account, webhook_id="evt_1", event_type="payment.failed", received_at=ago(minutes=minutes)
    )
    assert worst(findings("queue")).level is level


def test_events_that_failed(findings: Findings, site: Any) -> None:
    WebhookEvent.objects.create(account_id=site.account, webhook_id="evt_1", event_type="x", state="failed")
    assert_is(findings("queue"), Level.WARNING, "1 webhook events have failed")


@pytest.mark.parametrize(
    ("span", "level"), [({"minutes": 2}, Level.OK), ({"hours": 1}, Level.WARNING), ({"days": 2}, Level.ERROR)]
)
def test_operations_open_for_long(findings: Findings, site: Any, span: dict[str, float], level: Level) -> None:
    row = Operation.objects.create(
        action="capture", state="unknown", account_id=site.account, deadline_at=timezone.now(), payment_id="pay_1"
    )
    Operation.objects.update(created_at=ago(**span))
    found = findings("operations")
    assert worst(found).level is level
    assert (str(row.key) in worst(found).what) == (level is not Level.OK)
    assert ("The outcomes of 1 operations are being looked up." in worst(found).what) == (level is Level.OK)


def test_operations_are_held_after_a_restore(findings: Findings, site: Any) -> None:
    operations.begin_restore()
    Heartbeat.objects.filter(name="restored").update(started_at=ago(hours=3))
    SyncCursor.objects.exclude(resource="payments").update(full_completed_at=timezone.now())
    SyncCursor.objects.filter(resource="payments").update(full_completed_at=ago(days=1))
    found = findings("restore")
    assert_is(found, Level.ERROR, "held since a restore 3 h ago")
    assert f"payments {site.account}" in worst(found).what
    assert "transactions" not in worst(found).what
    operations.finish_restore(anyway=True)
    assert worst(findings("restore")).level is Level.OK


def test_rejected_rows(findings: Findings, site: Any) -> None:
    run = SyncRun.objects.filter(resource="payments").latest("started_at")
    SyncRun.objects.filter(pk=run.pk).update(rejected_count=3, rejected=[{"uid": "pay_1", "error": "…"}])
    assert_is(findings("quarantine"), Level.WARNING, "payments 3")
    SyncRun.objects.update(started_at=ago(days=8))
    assert worst(findings("quarantine")).level is Level.OK


def test_lists_that_are_overdue(findings: Findings, site: Any) -> None:
    SyncCursor.objects.filter(resource="payments").update(completed_at=ago(hours=1))
    found = findings("sync")
    assert_is(found, Level.WARNING, "payments")
    assert worst(found).subject == site.account
    SyncCursor.objects.filter(resource="clients").update(completed_at=ago(days=1))
    assert_is(findings("sync"), Level.ERROR, "clients")
    SyncCursor.objects.all().delete()
    assert_is(findings("sync"), Level.WARNING, "never")


# --- Accounts ----------------------------------------------------------------------------------------


def test_accounts_that_are_missing_or_closed(findings: Findings) -> None:
    PaymentAccount.objects.update(active=False)
    assert_is(findings("accounts"), Level.ERROR, "None of the 1")
    PaymentAccount.objects.all().delete()
    assert_is(findings("accounts"), Level.WARNING, "No payment account")


def test_webhooks_that_are_switched_off(findings: Findings, site: Any) -> None:
    PaymentAccount.objects.update(webhook_enabled=None)
    found = findings("webhooks")
    assert_is(found, Level.WARNING, "switched off")
    assert worst(found).subject == site.account


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("", "no callback address"),
        ("https://[pay.example.gov{path}", "no callback address"),
        ("https://elsewhere.example{path}", "not in ALLOWED_HOSTS"),
        ("http://127.0.0.1:8000/other/", "path is /other/"),
    ],
)
def test_callback_that_does_not_lead_here(findings: Findings, site: Any, address: str, text: str) -> None:
    PaymentAccount.objects.update(callback_url=address.format(path=f"/webhooks/{site.account}/"))
    assert_is(findings("callback"), Level.ERROR, text)


@pytest.mark.parametrize(
    ("address", "text"),
    [("http://pay.example.gov", "not https"), ("https://10.0.0.5", "from outside"), ("https://pay.example.gov", "")],
)
def test_callback_of_a_real_platform(findings: Findings, site: Any, settings: Any, address: str, text: str) -> None:
    path = PaymentAccount.objects.get().callback_url.partition(":8000")[2]
    PaymentAccount.objects.update(callback_url=address + path)
    settings.ALLOWED_HOSTS = ["pay.example.gov", "10.0.0.5"]
    use(settings, API_URL="https://127.0.0.2:9", TOKEN_URL="https://127.0.0.2:9/token", CONNECT_TIMEOUT=1)
    assert_is(findings("callback"), Level.ERROR if text else Level.OK, text)


def test_site_without_an_address_for_webhooks(findings: Findings, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.doctor.urls"
    assert_is(findings("callback"), Level.ERROR, "takes no webhooks")


def test_subscriptions_that_drift(findings: Findings, site: Any) -> None:
    subscribe(site, site.account, *(name for name in HANDLERS if name != "payment.refunded"), "payment.pondered")
    texts = " ".join(finding.what for finding in findings("subscriptions"))
    assert "have changed on the platform: payment.pondered, payment.refunded" in texts
    assert "are not sent: payment.refunded" in texts
    assert "nothing here works on them: payment.pondered" in texts


def test_subscriptions_that_cannot_be_read(findings: Findings, site: Any) -> None:
    site.fault("GET /api/webhooks/subscriptions", status=500, times=99)
    assert worst(findings("subscriptions")).level is Level.ERROR
    site.clear_faults()
    site.fault("GET /api/webhooks/subscriptions", status=404, times=99)
    assert_is(findings("subscriptions"), Level.OK, "not offered")


def test_secrets(findings: Findings, settings: Any) -> None:
    PaymentAccount.objects.update(webhook_secret_fetched_at=ago(days=400))
    assert_is(findings("secret"), Level.WARNING, "400 d old")
    keys = settings.GOVPAY["ENCRYPTION_KEYS"]
    use(settings, ENCRYPTION_KEYS=[Fernet.generate_key().decode()])
    assert_is(findings("secret"), Level.ERROR, "cannot be read")
    use(settings, ENCRYPTION_KEYS=keys)
    PaymentAccount.objects.update(webhook_secret=None)
    assert_is(findings("secret"), Level.WARNING, "not stored yet")


# --- Settings, keys, contract ------------------------------------------------------------------------


def test_settings_that_are_wrong(findings: Findings, settings: Any) -> None:
    use(settings, PAGE_SIZ=3)
    found = findings("settings")
    assert_is(found, Level.ERROR, "PAGE_SIZ")
    assert "PAGE_SIZE" in worst(found).hint


def test_site_of_a_real_platform(findings: Findings, settings: Any) -> None:
    use(settings, API_URL="https://127.0.0.2:9", CONNECT_TIMEOUT=1, ENCRYPTION_KEYS=[])
    settings.DEBUG, settings.ALLOWED_HOSTS, settings.CSRF_TRUSTED_ORIGINS = True, ["*"], ["http://pay.example.gov"]
    texts = " ".join(finding.what for finding in findings("site"))
    for text in (
        "DEBUG is on",
        "accepts every host name",
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "CSRF_TRUSTED",
        "SSL_RED",
    ):
        assert text in texts, text
    assert_is(findings("settings"), Level.WARNING, "derived from SECRET_KEY")
    settings.DEBUG, settings.ALLOWED_HOSTS, settings.CSRF_TRUSTED_ORIGINS = False, ["pay.example.gov"], []
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = settings.SECURE_SSL_REDIRECT = True
    assert_is(findings("site"), Level.OK, "a public site")
    settings.ALLOWED_HOSTS = []
    assert_is(findings("site"), Level.ERROR, "ALLOWED_HOSTS is empty")


@pytest.mark.parametrize(
    ("changes", "level", "text"),
    [
        ({"CHECKOUT_ORIGINS": []}, Level.WARNING, "is empty"),
        ({"CHECKOUT_ORIGINS": ["https://pay.example.gov/path"]}, Level.ERROR, "not https origins"),
        ({"CHECKOUT_ORIGINS": ["https://pay.example.gov"]}, Level.WARNING, "is a host of this site"),
        ({"COMPONENT_SCRIPT_URL": "http://cdn.example/x.js"}, Level.ERROR, "not https"),
        ({"COMPONENT_SCRIPT_URL": "https://cdn.example/x.js"}, Level.WARNING, "INTEGRITY is empty"),
        ({"COMPONENT_SCRIPT_INTEGRITY": "abc"}, Level.ERROR, "no hash"),
    ],
)
def test_checkout(findings: Findings, settings: Any, changes: dict[str, Any], level: Level, text: str) -> None:
    use(settings, **changes)
    assert_is(findings("checkout"), level, text)


def test_keys_that_cannot_read_old_rows(findings: Findings, settings: Any) -> None:
    old = settings.GOVPAY["ENCRYPTION_KEYS"]
    new = Fernet.generate_key().decode()
    use(settings, ENCRYPTION_KEYS=[new, *old])
    assert_is(findings("encryption"), Level.WARNING, "1 values were written with an older key")
    for number in range(25):
        PaymentAccount.objects.create(uid=f"acc_{number}", previous_webhook_secret="x", deleted_at=timezone.now())
    use(settings, ENCRYPTION_KEYS=[Fernet.generate_key().decode()])
    found = [finding for finding in findings("encryption") if finding.level is Level.ERROR]
    assert [finding.subject for finding in found] == [
        "PaymentAccount.webhook_secret",
        "PaymentAccount.previous_webhook_secret",
    ]
    assert "25 values" in found[1].what
    assert "(+5)" in found[1].what


def test_contract_notices(findings: Findings) -> None:
    ContractNotice.objects.create(kind="payment", name="status", value="settling", route="GET /api/payments", count=7)
    found = findings("contract")
    assert_is(found, Level.WARNING, "Unknown value settling of status (GET /api/payments), 7 times")
    for number in range(30):
        ContractNotice.objects.create(kind="payment", name=f"p{number}")
    assert "31 of them" in findings("contract")[-1].what
    assert len(findings("contract")) == 21


# --- The runner --------------------------------------------------------------------------------------


def test_a_check_that_raises_is_a_finding_and_the_others_go_on(site: Any) -> None:
    def broken(_: Any) -> Any:
        yield Finding("broken", Level.OK, "so far")
        raise ValueError("canary")

    report = examine([("broken", broken), *CHECKS])
    first, second = report.findings[:2]
    assert first.what == "so far"
    assert (second.check, second.level) == ("broken", Level.ERROR)
    assert "ValueError" not in second.what
    assert "canary" not in str(report.document())
    assert {finding.check for finding in report.findings} >= {name for name, _check in CHECKS}


def test_a_run_ends_in_time(site: Any, monkeypatch: Any) -> None:
    """However many accounts there are, and however slow the platform is: when the time is up, none is asked for."""
    for number in range(12):
        PaymentAccount.objects.create(uid=f"acc_{number:02}", webhook_enabled=True, active=True)
    clock = Clock()
    monkeypatch.setattr(doctor_findings, "time", clock)
    monkeypatch.setattr("govpay.sandbox.app.time", clock)
    slow = site.fault("GET /api/webhooks/subscriptions", delay=doctor_findings.RUN_TIMEOUT / 4)
    report = examine()
    assert slow.hits == 4
    assert any("were not checked" in finding.what for finding in report.findings)


def test_a_dead_platform_is_asked_once(site: Any) -> None:
    site.fault("GET *", close="before")
    calls = watch(site)
    report = examine()
    assert {call["path"] for call in calls.all} == {"/api/clients"}
    assert not [finding for finding in report.findings if finding.check == "subscriptions"]
    assert CHECKS


# --- Time zones ---------------------------------------------------------------------------------


def test_known_zones_are_listed(findings: Findings, settings: Any) -> None:
    account = PaymentAccount.objects.get()
    use(
        settings,
        TIME_ZONES={"*": "Mountain Standard Time", account.client_id: "Asia/Tokyo"},
        VOID_DAY_ZONE="Asia/Tokyo",
    )
    assert_is(findings("zones"), Level.OK, "Asia/Tokyo")


@pytest.mark.parametrize("name", ["Mars", "", None, 7])
def test_a_zone_of_the_settings_that_is_not_known(findings: Findings, settings: Any, name: Any) -> None:
    use(settings, TIME_ZONES={"*": name})
    assert_is(findings("zones"), Level.WARNING, "names no known time zone")


def test_a_day_of_voids_that_is_not_known(findings: Findings, settings: Any) -> None:
    use(settings, VOID_DAY_ZONE="Mars")
    [found] = findings("zones")
    assert found.subject == "VOID_DAY_ZONE"
    assert_is([found], Level.WARNING, "Mars")


def test_a_key_that_names_nothing(findings: Findings, settings: Any) -> None:
    use(settings, TIME_ZONES={"acc_typo": "Asia/Tokyo"})
    assert_is(findings("zones"), Level.WARNING, "acc_typo")


def test_a_zone_of_a_client_that_is_not_known(findings: Findings, settings: Any) -> None:
    client = Client.objects.get()
    Client.objects.update(timezone="Mars")
    [found] = findings("zones")
    assert (found.level, found.subject) == (Level.WARNING, client.uid)
    for key in ("*", client.uid):
        use(settings, TIME_ZONES={key: "Asia/Tokyo"})
        assert_is(findings("zones"), Level.OK, "Asia/Tokyo")
