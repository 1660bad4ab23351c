"""The authorization form: the text that the owner of a bank account agrees to before a charge by staff."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core import signing
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay import operations
from govpay.admin.formatting import method_label
from govpay.models import Payment
from govpay.models.choices import SecCode

SALT = "govpay.admin.authorization"


class AuthorizationForm(forms.Form):
    """Ask how the payer agreed to the authorization text, and let the member of staff confirm that.

    ``cleaned_data["authorization"]`` is the argument for ``capture_payment``. It holds exactly the text that was
    shown. A host can replace the text with its own template ``govpay/admin/ach_authorization.txt``.
    """

    sec_code = forms.ChoiceField(
        label=gettext_lazy("How the payer agreed"),
        choices=[(code.value, code.label) for code in (SecCode.TEL, SecCode.PPD)],
        widget=forms.RadioSelect,
    )
    attested = forms.BooleanField(
        label=gettext_lazy("I attest that the payer agreed to exactly this text"),
        help_text=gettext_lazy("Your name, the time and the text are kept."),
        error_messages={"required": gettext_lazy("Without the payer's agreement a bank account must not be charged.")},
    )
    text = forms.CharField(widget=forms.HiddenInput)

    def __init__(self, payment: Payment, data: Any = None) -> None:
        #: The text in the submitted form if this site signed it for this payment, else an empty string.
        self.given = _read(str((data or {}).get("text", "")), payment)
        #: The text that is shown above the fields.
        self.notice = self.given or authorization_text(payment)
        signed = signing.dumps([payment.uid, self.notice], salt=SALT)
        super().__init__({**data.dict(), "text": signed} if data is not None else None, initial={"text": signed})

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = dict(super().clean() or {})
        if not self.given:
            raise ValidationError(_("This form does not come from here, so nothing was sent. Confirm it again."))
        if "sec_code" in data:
            data["authorization"] = operations.Authorization(data["sec_code"], self.given, timezone.now())
        return data


def _read(signed: str, payment: Payment) -> str:
    try:
        uid, text = signing.loads(signed, salt=SALT)
    except (signing.BadSignature, ValueError, TypeError):
        return ""
    return str(text) if uid == payment.uid else ""


def authorization_text(payment: Payment) -> str:
    """Return the authorization text for this payment, in the active language."""
    context = {
        "payment": payment,
        "merchant": payment.account.name if payment.account is not None else "",
        "method": payment.saved_method,
        "method_label": method_label(payment),
        "today": timezone.localdate(),
    }
    return render_to_string("govpay/admin/ach_authorization.txt", context).strip()
