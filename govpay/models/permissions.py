"""The permission of each action, used by operations, admin and REST. It imports no client, to keep start-up fast."""

from __future__ import annotations

from collections.abc import Mapping

from govpay.models.choices import OperationAction

CHARGE_CUSTOMER = "govpay.charge_customer"
REFUND_PAYMENT = "govpay.refund_payment"
MANAGE_WALLET = "govpay.manage_wallet"
CREATE_SESSION = "govpay.create_session"
PROVISION_ACCOUNT = "govpay.provision_account"
#: Actions that send nothing to the platform.
RESOLVE_OPERATION = "govpay.settle_operation"
SYNC_NOW = "govpay.sync_now"
REPLAY_EVENT = "govpay.replay_event"
ADD_NOTE = "govpay.add_note"

#: The permission to execute an operation.
ACTION_PERMISSIONS: Mapping[str, str] = {
    OperationAction.QUOTE: CHARGE_CUSTOMER,
    OperationAction.CAPTURE: "govpay.capture_payment",
    OperationAction.VOID: "govpay.void_payment",
    OperationAction.REFUND: REFUND_PAYMENT,
    OperationAction.CREATE_CUSTOMER: MANAGE_WALLET,
    OperationAction.SAVE_METHOD: MANAGE_WALLET,
    OperationAction.REMOVE_METHOD: MANAGE_WALLET,
    OperationAction.SET_DEFAULT_METHOD: MANAGE_WALLET,
    OperationAction.IMPORT_METHODS: MANAGE_WALLET,
    OperationAction.CREATE_SESSION: CREATE_SESSION,
    OperationAction.UPDATE_SESSION: CREATE_SESSION,
    OperationAction.EXPIRE_SESSION: CREATE_SESSION,
    OperationAction.CREATE_CLIENT: PROVISION_ACCOUNT,
    OperationAction.CREATE_ACCOUNT: PROVISION_ACCOUNT,
    OperationAction.UPDATE_ACCOUNT: PROVISION_ACCOUNT,
    OperationAction.SET_CHECKOUT: PROVISION_ACCOUNT,
    OperationAction.SET_SUBSCRIPTIONS: PROVISION_ACCOUNT,
    OperationAction.REFRESH_SECRET: PROVISION_ACCOUNT,
}
