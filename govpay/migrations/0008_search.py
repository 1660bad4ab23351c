"""Columns and indexes of the search. The next full pass of the sync fills the columns of the mirrors."""

import govpay.models.folding
from django.conf import settings
from django.db import migrations, models


def fill_links(apps, schema_editor):
    """Fill the column of payment links, which no sync reads again."""
    alias = schema_editor.connection.alias
    links = apps.get_model('govpay', 'PaymentLink').objects.using(alias)
    for link in links.exclude(reference_id='').only('reference_id').iterator():
        link.save(using=alias, update_fields=['search_reference'])


class Migration(migrations.Migration):

    dependencies = [
        ('govpay', '0007_people'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='operation',
            name='govpay_operation_ref',
        ),
        migrations.RemoveIndex(
            model_name='transaction',
            name='govpay_transaction_reference',
        ),
        migrations.AddField(
            model_name='customer',
            name='search_email',
            field=govpay.models.folding.FoldedField(blank=True, db_default='', default='', editable=False, max_length=255, source='email', verbose_name='email for the search'),
        ),
        migrations.AddField(
            model_name='customer',
            name='search_name',
            field=govpay.models.folding.NameWordsField(blank=True, db_default='', default='', editable=False, source='name', verbose_name='name for the search'),
        ),
        migrations.AddField(
            model_name='customer',
            name='search_reference',
            field=govpay.models.folding.FoldedField(blank=True, db_default='', default='', editable=False, max_length=255, source='reference_id', verbose_name='reference for the search'),
        ),
        migrations.AddField(
            model_name='payment',
            name='holder_name',
            field=models.TextField(blank=True, db_default='', default='', verbose_name='holder name'),
        ),
        migrations.AddField(
            model_name='payment',
            name='search_name',
            field=govpay.models.folding.NameWordsField(blank=True, db_default='', default='', editable=False, source='holder_name', verbose_name='name for the search'),
        ),
        migrations.AddField(
            model_name='payment',
            name='search_reference',
            field=govpay.models.folding.FoldedField(blank=True, db_default='', default='', editable=False, max_length=255, source='reference_id', verbose_name='reference for the search'),
        ),
        migrations.AddField(
            model_name='paymentlink',
            name='search_reference',
            field=govpay.models.folding.FoldedField(blank=True, db_default='', default='', editable=False, max_length=255, source='reference_id', verbose_name='reference for the search'),
        ),
        migrations.AddField(
            model_name='savedpaymentmethod',
            name='search_name',
            field=govpay.models.folding.NameWordsField(blank=True, db_default='', default='', editable=False, source='holder_name', verbose_name='name for the search'),
        ),
        migrations.AddIndex(
            model_name='customer',
            index=models.Index(fields=['search_reference'], name='govpay_customer_search_ref'),
        ),
        migrations.AddIndex(
            model_name='customer',
            index=models.Index(fields=['search_email'], name='govpay_customer_search_email'),
        ),
        migrations.AddIndex(
            model_name='customer',
            index=govpay.models.folding.WordIndex('search_name', also=('uid',), name='govpay_customer_search_name'),
        ),
        migrations.AddIndex(
            model_name='operation',
            index=models.Index(fields=['reference_id'], name='govpay_operation_ref_start', opclasses=['varchar_pattern_ops']),
        ),
        migrations.AddIndex(
            model_name='operation',
            index=models.Index(fields=['amount'], name='govpay_operation_amount'),
        ),
        migrations.AddIndex(
            model_name='operation',
            index=models.Index(fields=['actor', '-created_at', '-id'], name='govpay_operation_actor'),
        ),
        migrations.AddIndex(
            model_name='operation',
            index=models.Index(condition=models.Q(('customer__isnull', False)), fields=['customer'], name='govpay_operation_customer'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(fields=['search_reference'], name='govpay_payment_search_ref'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=govpay.models.folding.WordIndex('search_name', also=('uid',), name='govpay_payment_search_name'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(fields=['last4'], name='govpay_payment_last4'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(fields=['total_amount'], name='govpay_payment_total'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(fields=['saved_method'], name='govpay_payment_method'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(condition=models.Q(('refunded_amount__gt', 0)), fields=['-remote_created_at', '-id'], name='govpay_payment_refunded'),
        ),
        migrations.AddIndex(
            model_name='paymentlink',
            index=models.Index(fields=['search_reference'], name='govpay_link_search_ref'),
        ),
        migrations.AddIndex(
            model_name='paymentlink',
            index=models.Index(fields=['amount'], name='govpay_link_amount'),
        ),
        migrations.AddIndex(
            model_name='paymentlink',
            index=models.Index(fields=['customer'], name='govpay_link_customer'),
        ),
        migrations.AddIndex(
            model_name='paymentlink',
            index=models.Index(fields=['payment'], name='govpay_link_payment'),
        ),
        migrations.AddIndex(
            model_name='savedpaymentmethod',
            index=models.Index(fields=['last4'], name='govpay_method_last4'),
        ),
        migrations.AddIndex(
            model_name='savedpaymentmethod',
            index=govpay.models.folding.WordIndex('search_name', also=('uid', 'customer'), name='govpay_method_search_name'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(fields=['reference_id'], name='govpay_transaction_ref', opclasses=['varchar_pattern_ops']),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(fields=['amount'], name='govpay_transaction_amount'),
        ),
        migrations.RunPython(fill_links, migrations.RunPython.noop, elidable=True, hints={"model_name": "paymentlink"}),
    ]
