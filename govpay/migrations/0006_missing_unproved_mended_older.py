"""What the mirror keeps about older, mended and missing documents.

There is no 0005: it only named models and fields, and its names are in the earlier migrations now.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('govpay', '0004_flags'),
    ]

    operations = [
        migrations.AddField(
            model_name='client',
            name='mended',
            field=models.TextField(blank=True, db_default='', default='', editable=False, verbose_name='mended properties'),
        ),
        migrations.AddField(
            model_name='client',
            name='older_digest',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=40, verbose_name='older digest'),
        ),
        migrations.AddField(
            model_name='client',
            name='older_seen_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='older document first read'),
        ),
        migrations.AddField(
            model_name='customer',
            name='mended',
            field=models.TextField(blank=True, db_default='', default='', editable=False, verbose_name='mended properties'),
        ),
        migrations.AddField(
            model_name='customer',
            name='older_digest',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=40, verbose_name='older digest'),
        ),
        migrations.AddField(
            model_name='customer',
            name='older_seen_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='older document first read'),
        ),
        migrations.AddField(
            model_name='hostedsession',
            name='mended',
            field=models.TextField(blank=True, db_default='', default='', editable=False, verbose_name='mended properties'),
        ),
        migrations.AddField(
            model_name='hostedsession',
            name='older_digest',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=40, verbose_name='older digest'),
        ),
        migrations.AddField(
            model_name='hostedsession',
            name='older_seen_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='older document first read'),
        ),
        migrations.AddField(
            model_name='payment',
            name='mended',
            field=models.TextField(blank=True, db_default='', default='', editable=False, verbose_name='mended properties'),
        ),
        migrations.AddField(
            model_name='payment',
            name='older_digest',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=40, verbose_name='older digest'),
        ),
        migrations.AddField(
            model_name='payment',
            name='older_seen_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='older document first read'),
        ),
        migrations.AddField(
            model_name='paymentaccount',
            name='mended',
            field=models.TextField(blank=True, db_default='', default='', editable=False, verbose_name='mended properties'),
        ),
        migrations.AddField(
            model_name='paymentaccount',
            name='older_digest',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=40, verbose_name='older digest'),
        ),
        migrations.AddField(
            model_name='paymentaccount',
            name='older_seen_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='older document first read'),
        ),
        migrations.AddField(
            model_name='savedpaymentmethod',
            name='mended',
            field=models.TextField(blank=True, db_default='', default='', editable=False, verbose_name='mended properties'),
        ),
        migrations.AddField(
            model_name='savedpaymentmethod',
            name='older_digest',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=40, verbose_name='older digest'),
        ),
        migrations.AddField(
            model_name='savedpaymentmethod',
            name='older_seen_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='older document first read'),
        ),
        migrations.AddField(
            model_name='synccursor',
            name='missing',
            field=models.JSONField(blank=True, editable=False, null=True, verbose_name='missing'),
        ),
        migrations.AddField(
            model_name='synccursor',
            name='unproved_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='perhaps incomplete since'),
        ),
        migrations.AddField(
            model_name='terminal',
            name='mended',
            field=models.TextField(blank=True, db_default='', default='', editable=False, verbose_name='mended properties'),
        ),
        migrations.AddField(
            model_name='terminal',
            name='older_digest',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=40, verbose_name='older digest'),
        ),
        migrations.AddField(
            model_name='terminal',
            name='older_seen_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='older document first read'),
        ),
        migrations.AddField(
            model_name='transaction',
            name='mended',
            field=models.TextField(blank=True, db_default='', default='', editable=False, verbose_name='mended properties'),
        ),
        migrations.AddField(
            model_name='transaction',
            name='older_digest',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=40, verbose_name='older digest'),
        ),
        migrations.AddField(
            model_name='transaction',
            name='older_seen_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='older document first read'),
        ),
        migrations.AddField(
            model_name='webhooksubscription',
            name='mended',
            field=models.TextField(blank=True, db_default='', default='', editable=False, verbose_name='mended properties'),
        ),
        migrations.AddField(
            model_name='webhooksubscription',
            name='older_digest',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=40, verbose_name='older digest'),
        ),
        migrations.AddField(
            model_name='webhooksubscription',
            name='older_seen_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='older document first read'),
        ),
        migrations.AlterField(
            model_name='syncrun',
            name='state',
            field=models.CharField(choices=[('running', 'Running'), ('succeeded', 'Succeeded'), ('unproved', 'Perhaps incomplete'), ('failed', 'Failed'), ('interrupted', 'Interrupted')], default='running', max_length=16, verbose_name='state'),
        ),
    ]
