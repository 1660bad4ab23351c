"""The permission of each action: read by operations, admin and REST. It imports no client, to keep start-up fast."""

from __future__ import annotations

from collections.abc import Mapping

from govpay.models.choices import OperationAction

PROVISION_ACCOUNT = "govpay.provision_account"

#: What executing an operation needs.
ACTION_PERMISSIONS: Mapping[str, str] = {
    OperationAction.QUOTE: "govpay.charge_customer",
    OperationAction.CAPTURE: "govpay.capture_payment",
    OperationAction.VOID: "govpay.void_payment",
    OperationAction.REFUND: "govpay.refund_payment",
    **dict.fromkeys(
        (
            OperationAction.CREATE_CUSTOMER,
            OperationAction.SAVE_METHOD,
            OperationAction.REMOVE_METHOD,
            OperationAction.SET_DEFAULT_METHOD,
            OperationAction.IMPORT_METHODS,
        ),
        "govpay.manage_wallet",
    ),
    **dict.fromkeys(
        (OperationAction.CREATE_SESSION, OperationAction.UPDATE_SESSION, OperationAction.EXPIRE_SESSION),
        "govpay.create_session",
    ),
    **dict.fromkeys(
        (
            OperationAction.CREATE_CLIENT,
            OperationAction.CREATE_ACCOUNT,
            OperationAction.UPDATE_ACCOUNT,
            OperationAction.SET_CHECKOUT,
            OperationAction.SET_SUBSCRIPTIONS,
            OperationAction.REFRESH_SECRET,
        ),
        PROVISION_ACCOUNT,
    ),
}

#: Actions that send nothing to the platform.
SETTLE_OPERATION = "govpay.settle_operation"
SYNC_NOW = "govpay.sync_now"
REPLAY_EVENT = "govpay.replay_event"
