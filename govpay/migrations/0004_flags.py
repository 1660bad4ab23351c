"""Which movement raised a payment's flag, and its place in their order."""

import datetime as dt

import django.db.models.deletion
import govpay.models.fields
from django.db import migrations, models

#: The order of movements of the same instant, as in ``govpay.sync.flags``.
RANKS = {"chargeback": 0, "ach_return": 1, "chargeback_reversal": 2}


def record_movements(apps, schema_editor):
    """The movements that are known have raised their flags already: none of them may raise one again."""
    alias = schema_editor.connection.alias
    rows = apps.get_model("govpay", "Transaction").objects.using(alias)
    payments = apps.get_model("govpay", "Payment").objects.using(alias)
    found = rows.filter(type__in=RANKS, payment__isnull=False).exclude(status="failed").order_by()
    newest = {}
    for payment, uid, kind, *moments in found.values_list(
        "payment_id", "uid", "type", "remote_created_at", "remote_updated_at", "synced_at"
    ).iterator():
        moment = next(filter(None, moments), None)
        if moment is not None:
            text = moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
            newest[payment] = max(newest.get(payment, ("", "")), (f"{text} {RANKS[kind]} {uid}", uid))
    for payment, (order, uid) in newest.items():
        payments.filter(uid=payment).update(flag_order=order, flag_movement=uid)


class Migration(migrations.Migration):

    dependencies = [
        ('govpay', '0003_fee_preview'),
    ]

    operations = [
        migrations.AddField(
            model_name='payment',
            name='flag_backlog',
            field=models.BooleanField(default=False, editable=False, verbose_name='flag backlog'),
        ),
        migrations.AddField(
            model_name='payment',
            name='flag_movement',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='govpay.transaction', to_field='uid', verbose_name='flag movement'),
        ),
        migrations.AddField(
            model_name='payment',
            name='flag_order',
            field=govpay.models.fields.UidField(blank=True, default='', editable=False, max_length=160, verbose_name='flag order'),
        ),
        migrations.RunPython(record_movements, migrations.RunPython.noop, hints={"model_name": "transaction"}),
    ]
