"""Indexes for reports."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('govpay', '0008_search'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(condition=models.Q(('captured_at__isnull', False)), fields=['account', 'captured_at', 'currency', 'total_amount', 'processing_fee_amount', 'base_amount', 'tax_amount'], name='govpay_payment_captured'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(condition=models.Q(('captured_at', None), models.Q(('status__in', ['', 'expired', 'failed', 'validated']), _negated=True)), fields=['account'], name='govpay_payment_undated'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(condition=models.Q(('remote_created_at', None), ('currency', ''), _connector='OR'), fields=['account'], name='govpay_transaction_incomplete'),
        ),
    ]
