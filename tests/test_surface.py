"""The public surface: names that hosts, operators and monitors rely on. Add to it freely; rename nothing."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.management import get_commands
from django.dispatch import Signal
from django.urls import reverse

from govpay import conf, operations, schedule, signals, tasks
from govpay.management.commands import govpay_sync

#: Columns that every mirror has.
MIRROR = "uid raw remote_created_at remote_updated_at synced_at deleted_at"

#: Model → columns.
MODELS = {
    "Client": f"{MIRROR} customer_id name timezone subdomain",
    "PaymentAccount": f"{MIRROR} client name processor external_account_id external_merchant_id active enable_ach"
    " enable_credit_card minimum_payment_amount maximum_payment_amount callback_url webhook_enabled allowed_origins",
    "Customer": f"{MIRROR} account reference_id name email",
    "SavedPaymentMethod": f"{MIRROR} customer method_type brand last4 exp_month exp_year holder_name bank_name"
    " account_type is_default",
    "Payment": f"{MIRROR} account customer saved_method session reference_id base_amount tax_amount"
    " processing_fee_amount total_amount refunded_amount currency status method_type brand last4 decline_code"
    " captured_at",
    "Transaction": f"{MIRROR} payment account type amount currency status reference_id processor_transaction_id reason"
    " reason_code",
    "HostedSession": f"{MIRROR} account customer amount currency status scope layout expires_at metadata",
    "PaymentLink": "public_id account customer amount currency reference_id description expires_at state session"
    " payment created_by",
    "Terminal": f"{MIRROR} account name serial_number model status",
    "WebhookSubscription": f"{MIRROR} account event_type enabled",
    "WebhookEvent": "account webhook_id event_type sent_at payload state attempts error received_at processed_at",
    "Operation": "key action account payment customer session amount currency actor reason state error"
    " remote_request_id reference_id created_at finished_at",
    "SyncCursor": "account resource",
    "SyncRun": "account resource state",
}

CHOICES = {
    "PaymentLink.state": "open paid cancelled expired",
    "WebhookEvent.state": "received processed failed ignored",
    "Operation.state": "started succeeded failed unknown",
}

PERMISSIONS = """
    capture_payment refund_payment void_payment charge_customer manage_wallet create_session provision_account
    sync_now replay_event export_data
"""

#: Group → what it may beside viewing.
GROUPS = {
    "Cashier": {"charge_customer", "create_session", "capture_payment"},
    "Finance": {
        *("charge_customer", "create_session", "capture_payment"),
        *("refund_payment", "void_payment", "manage_wallet", "export_data"),
    },
    "Support": set[str](),
    "Operations": {"sync_now", "replay_event", "provision_account"},
}

#: Operation → its keyword-only arguments, beside ``actor`` and ``key``.
OPERATIONS = {
    "quote_payment": "account base_amount tax_amount currency reference_id payment_method saved_method",
    "capture_payment": "payment",
    "void_payment": "payment",
    "refund_payment": "payment amount reason",
    "create_customer": "account reference_id name email",
    "save_payment_method": "customer payment_method",
    "remove_payment_method": "method",
    "set_default_payment_method": "method",
    "import_payment_methods": "account rows",
    "create_hosted_session": "account amount currency success_url cancel_url",
    "update_hosted_session": "session amount line_items",
    "create_payment_link": "account amount",
    "cancel_payment_link": "link",
    "expire_hosted_session": "session",
    "create_wallet_session": "customer",
    "create_client": "",
    "create_payment_account": "",
    "update_payment_account": "",
    "set_checkout_config": "account",
    "set_webhook_subscriptions": "account enabled",
    "refresh_webhook_secret": "account",
}

SIGNALS = """
    payment_captured payment_failed payment_refunded payment_disputed payment_returned session_completed
    session_expired saved_method_changed event_received operation_finished
"""

TASKS = "refresh_token sync_all sync_account process_event reconcile_operations purge_events send_outstanding"

COMMANDS = """
    govpay_sync govpay_token govpay_sandbox govpay_doctor govpay_provision govpay_reconcile govpay_replay govpay_work
    govpay_import_methods govpay_restored
"""

SETTINGS = """
    CLIENT_ID CLIENT_SECRET TOKEN_URL API_URL SCOPE CACHE TOKEN_REFRESH_MARGIN CONNECT_TIMEOUT READ_TIMEOUT MAX_RETRIES
    PAGE_SIZE CALL_TIMEOUT SYNC_INTERVAL WEBHOOK_TOLERANCE WEBHOOK_SECRET_GRACE EVENT_RETENTION_DAYS ENCRYPTION_KEYS
    ROUTES COMPONENT_SCRIPT_URL COMPONENT_SCRIPT_INTEGRITY CHECKOUT_ORIGINS ABSENT_AFTER
"""

#: Name → its arguments and its path.
URLS: dict[str, tuple[list[Any], str]] = {
    "govpay:webhook": (["account_1"], "/govpay/webhooks/account_1/"),
    "govpay:pay": (["b7f0c9a0-6d0f-4b63-9d4e-0f1d6ad3f6c1"], "/govpay/pay/b7f0c9a0-6d0f-4b63-9d4e-0f1d6ad3f6c1/"),
    "govpay:pay-done": (
        ["b7f0c9a0-6d0f-4b63-9d4e-0f1d6ad3f6c1"],
        "/govpay/pay/b7f0c9a0-6d0f-4b63-9d4e-0f1d6ad3f6c1/done/",
    ),
    "admin:govpay_payment_capture": ([], "/admin/govpay/payment/capture/"),
    "admin:govpay_payment_refund": ([], "/admin/govpay/payment/refund/"),
    "admin:govpay_payment_void": ([], "/admin/govpay/payment/void/"),
}

#: Modules and names that the documents tell hosts to import.
IMPORTS = {
    "govpay": "__version__",
    "govpay.exceptions": "GovPayError OperationRefused OutcomeUnknown PaymentDeclined AuthenticationError",
    "govpay.client": "Answer",
    "govpay.policies": "component_policy",
    "govpay.security.headers": "component_policy",
    "govpay.sandbox": "Sandbox",
    "govpay.schedule": "BEAT_SCHEDULE",
    "govpay.urls": "urlpatterns app_name",
}


@pytest.mark.parametrize("name", MODELS)
def test_models_keep_their_columns(name: str) -> None:
    model = apps.get_model("govpay", name)
    assert set(MODELS[name].split()) <= {field.name for field in model._meta.get_fields()}


@pytest.mark.parametrize("name", CHOICES)
def test_states_keep_their_values(name: str) -> None:
    model, _, field = name.partition(".")
    choices = apps.get_model("govpay", model)._meta.get_field(field).choices
    assert set(CHOICES[name].split()) <= {value for value, _ in choices}


def test_permissions_and_groups(db: None) -> None:
    made = set(Permission.objects.filter(content_type__app_label="govpay").values_list("codename", flat=True))
    assert set(PERMISSIONS.split()) <= made
    for name, expected in GROUPS.items():
        may = set(Group.objects.get(name=name).permissions.values_list("codename", flat=True))
        assert expected <= may
        assert not any(each.split("_")[0] in ("add", "change", "delete") for each in may - {"add_note"})


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_keep_their_arguments(name: str) -> None:
    parameters = inspect.signature(getattr(operations, name)).parameters
    always = {"actor"} if name == "cancel_payment_link" else {"actor", "key"}  # cancelling twice is cancelling once
    assert {*OPERATIONS[name].split(), *always} <= set(parameters)
    assert {each.kind for each in parameters.values()} <= {
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    }


def test_signals_and_tasks() -> None:
    for name in SIGNALS.split():
        assert isinstance(getattr(signals, name), Signal)
    for name in TASKS.split():
        assert getattr(tasks, name).name == f"govpay.tasks.{name}"
    assert {each["task"] for each in schedule.BEAT_SCHEDULE.values()} <= {f"govpay.tasks.{name}" for name in dir(tasks)}


def test_commands_and_settings() -> None:
    assert set(COMMANDS.split()) <= {name for name, app in get_commands().items() if app == "govpay"}
    assert set(SETTINGS.split()) <= set(conf.DEFAULTS)
    parser = govpay_sync.Command().create_parser("manage.py", "govpay_sync")
    assert {"--account", "--full", "--fan-out"} <= {
        option for each in parser._actions for option in each.option_strings
    }


@pytest.mark.parametrize("name", URLS)
def test_addresses(name: str) -> None:
    arguments, path = URLS[name]
    assert reverse(name, args=arguments) == path


def test_template_tags() -> None:
    register = import_module("govpay.templatetags.govpay").register
    assert {"govpay_payment", "govpay_wallet"} <= set(register.tags)
    assert "money" in register.filters


@pytest.mark.parametrize("name", IMPORTS)
def test_names_that_hosts_import(name: str) -> None:
    module = import_module(name)
    assert [each for each in IMPORTS[name].split() if not hasattr(module, each)] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [("Seen", "Snapshot"), ("settle_by_hand", "resolve_manually"), ("recheck_settled", "recheck_resolved")],
)
def test_old_names_of_operations_work_with_a_warning(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        assert getattr(operations, old) is getattr(operations, new)
