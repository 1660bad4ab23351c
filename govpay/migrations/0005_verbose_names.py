"""The names of models and fields as translatable texts. The tables do not change."""

import django.db.models.deletion
import django.utils.timezone
import govpay.models.fields
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('govpay', '0004_flags'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterModelOptions(
                    name='accountaccess',
                    options={'ordering': ['account_id', 'id'], 'verbose_name': 'account access', 'verbose_name_plural': 'account access'},
                ),
                migrations.AlterModelOptions(
                    name='client',
                    options={'ordering': ['name', 'id'], 'verbose_name': 'client', 'verbose_name_plural': 'clients'},
                ),
                migrations.AlterModelOptions(
                    name='contractnotice',
                    options={'ordering': ['-last_seen', '-id'], 'verbose_name': 'contract notice', 'verbose_name_plural': 'contract notices'},
                ),
                migrations.AlterModelOptions(
                    name='customer',
                    options={'ordering': ['-remote_created_at', '-id'], 'permissions': [('charge_customer', 'Can charge a saved payment method')], 'verbose_name': 'customer', 'verbose_name_plural': 'customers'},
                ),
                migrations.AlterModelOptions(
                    name='heartbeat',
                    options={'ordering': ['name'], 'verbose_name': 'heartbeat', 'verbose_name_plural': 'heartbeats'},
                ),
                migrations.AlterModelOptions(
                    name='hostedsession',
                    options={'ordering': ['-remote_created_at', '-id'], 'permissions': [('create_session', 'Can create hosted sessions and payment links')], 'verbose_name': 'hosted session', 'verbose_name_plural': 'hosted sessions'},
                ),
                migrations.AlterModelOptions(
                    name='operation',
                    options={'ordering': ['-created_at', '-id'], 'permissions': [('settle_operation', 'Can resolve an operation by hand')], 'verbose_name': 'operation', 'verbose_name_plural': 'operations'},
                ),
                migrations.AlterModelOptions(
                    name='outboxsignal',
                    options={'ordering': ['id'], 'verbose_name': 'outbox signal', 'verbose_name_plural': 'outbox signals'},
                ),
                migrations.AlterModelOptions(
                    name='payment',
                    options={'ordering': ['-remote_created_at', '-id'], 'permissions': [('capture_payment', 'Can capture a payment'), ('refund_payment', 'Can refund a payment'), ('void_payment', 'Can void a payment'), ('export_data', 'Can export data')], 'verbose_name': 'payment', 'verbose_name_plural': 'payments'},
                ),
                migrations.AlterModelOptions(
                    name='paymentaccount',
                    options={'ordering': ['name', 'id'], 'permissions': [('provision_account', 'Can provision clients and payment accounts'), ('sync_now', 'Can start a sync')], 'verbose_name': 'payment account', 'verbose_name_plural': 'payment accounts'},
                ),
                migrations.AlterModelOptions(
                    name='paymentlink',
                    options={'ordering': ['-created_at', '-id'], 'verbose_name': 'payment link', 'verbose_name_plural': 'payment links'},
                ),
                migrations.AlterModelOptions(
                    name='savedpaymentmethod',
                    options={'ordering': ['-remote_created_at', '-id'], 'permissions': [('manage_wallet', 'Can add and remove saved payment methods')], 'verbose_name': 'saved payment method', 'verbose_name_plural': 'saved payment methods'},
                ),
                migrations.AlterModelOptions(
                    name='synccursor',
                    options={'ordering': ['account_id', 'resource', 'id'], 'verbose_name': 'sync cursor', 'verbose_name_plural': 'sync cursors'},
                ),
                migrations.AlterModelOptions(
                    name='syncrun',
                    options={'ordering': ['-started_at', '-id'], 'verbose_name': 'sync run', 'verbose_name_plural': 'sync runs'},
                ),
                migrations.AlterModelOptions(
                    name='terminal',
                    options={'ordering': ['-remote_created_at', '-id'], 'verbose_name': 'terminal', 'verbose_name_plural': 'terminals'},
                ),
                migrations.AlterModelOptions(
                    name='transaction',
                    options={'ordering': ['-remote_created_at', '-id'], 'verbose_name': 'transaction', 'verbose_name_plural': 'transactions'},
                ),
                migrations.AlterModelOptions(
                    name='webhookevent',
                    options={'ordering': ['-received_at', '-id'], 'permissions': [('replay_event', 'Can process an event again')], 'verbose_name': 'webhook event', 'verbose_name_plural': 'webhook events'},
                ),
                migrations.AlterModelOptions(
                    name='webhooksubscription',
                    options={'ordering': ['account_id', 'event_type', 'id'], 'verbose_name': 'webhook subscription', 'verbose_name_plural': 'webhook subscriptions'},
                ),
                migrations.AlterField(
                    model_name='accountaccess',
                    name='account',
                    field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='access', to='govpay.paymentaccount', to_field='uid', verbose_name='account'),
                ),
                migrations.AlterField(
                    model_name='accountaccess',
                    name='group',
                    field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='auth.group', verbose_name='group'),
                ),
                migrations.AlterField(
                    model_name='accountaccess',
                    name='user',
                    field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user'),
                ),
                migrations.AlterField(
                    model_name='client',
                    name='digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='digest'),
                ),
                migrations.AlterField(
                    model_name='client',
                    name='name',
                    field=models.TextField(blank=True, default='', verbose_name='name'),
                ),
                migrations.AlterField(
                    model_name='client',
                    name='replaced_digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='replaced digest'),
                ),
                migrations.AlterField(
                    model_name='client',
                    name='subdomain',
                    field=models.TextField(blank=True, default='', verbose_name='subdomain'),
                ),
                migrations.AlterField(
                    model_name='client',
                    name='timezone',
                    field=models.TextField(blank=True, default='', verbose_name='timezone'),
                ),
                migrations.AlterField(
                    model_name='contractnotice',
                    name='count',
                    field=models.PositiveBigIntegerField(default=0, verbose_name='count'),
                ),
                migrations.AlterField(
                    model_name='contractnotice',
                    name='kind',
                    field=models.CharField(max_length=32, verbose_name='kind'),
                ),
                migrations.AlterField(
                    model_name='contractnotice',
                    name='name',
                    field=models.CharField(max_length=160, verbose_name='name'),
                ),
                migrations.AlterField(
                    model_name='contractnotice',
                    name='route',
                    field=models.CharField(blank=True, default='', max_length=255, verbose_name='route'),
                ),
                migrations.AlterField(
                    model_name='contractnotice',
                    name='source',
                    field=models.CharField(blank=True, choices=[('operation', 'Operation'), ('webhook', 'Webhook'), ('sync', 'Sync')], default='', max_length=16, verbose_name='source'),
                ),
                migrations.AlterField(
                    model_name='contractnotice',
                    name='value',
                    field=models.CharField(blank=True, default='', max_length=64, verbose_name='value'),
                ),
                migrations.AlterField(
                    model_name='customer',
                    name='account',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='customers', to='govpay.paymentaccount', to_field='uid', verbose_name='account'),
                ),
                migrations.AlterField(
                    model_name='customer',
                    name='digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='digest'),
                ),
                migrations.AlterField(
                    model_name='customer',
                    name='email',
                    field=models.CharField(blank=True, default='', max_length=255, verbose_name='email'),
                ),
                migrations.AlterField(
                    model_name='customer',
                    name='methods_stale',
                    field=models.BooleanField(default=True, editable=False, verbose_name='methods stale'),
                ),
                migrations.AlterField(
                    model_name='customer',
                    name='name',
                    field=models.TextField(blank=True, default='', verbose_name='name'),
                ),
                migrations.AlterField(
                    model_name='customer',
                    name='replaced_digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='replaced digest'),
                ),
                migrations.AlterField(
                    model_name='heartbeat',
                    name='mark',
                    field=models.CharField(blank=True, default='', editable=False, max_length=64, verbose_name='mark'),
                ),
                migrations.AlterField(
                    model_name='heartbeat',
                    name='name',
                    field=models.CharField(max_length=32, verbose_name='name'),
                ),
                migrations.AlterField(
                    model_name='hostedsession',
                    name='account',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='sessions', to='govpay.paymentaccount', to_field='uid', verbose_name='account'),
                ),
                migrations.AlterField(
                    model_name='hostedsession',
                    name='amount',
                    field=models.BigIntegerField(blank=True, null=True, verbose_name='amount'),
                ),
                migrations.AlterField(
                    model_name='hostedsession',
                    name='credential',
                    field=govpay.models.fields.SealedField(blank=True, editable=False, null=True, verbose_name='credential'),
                ),
                migrations.AlterField(
                    model_name='hostedsession',
                    name='currency',
                    field=models.CharField(blank=True, default='', max_length=8, verbose_name='currency'),
                ),
                migrations.AlterField(
                    model_name='hostedsession',
                    name='customer',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='sessions', to='govpay.customer', to_field='uid', verbose_name='customer'),
                ),
                migrations.AlterField(
                    model_name='hostedsession',
                    name='digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='digest'),
                ),
                migrations.AlterField(
                    model_name='hostedsession',
                    name='expires_at',
                    field=models.DateTimeField(blank=True, null=True, verbose_name='expires at'),
                ),
                migrations.AlterField(
                    model_name='hostedsession',
                    name='hosted_url',
                    field=govpay.models.fields.SealedField(blank=True, editable=False, null=True, verbose_name='hosted URL'),
                ),
                migrations.AlterField(
                    model_name='hostedsession',
                    name='layout',
                    field=models.TextField(blank=True, default='', verbose_name='layout'),
                ),
                migrations.AlterField(
                    model_name='hostedsession',
                    name='metadata',
                    field=models.JSONField(blank=True, default=dict, verbose_name='metadata'),
                ),
                migrations.AlterField(
                    model_name='hostedsession',
                    name='replaced_digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='replaced digest'),
                ),
                migrations.AlterField(
                    model_name='hostedsession',
                    name='scope',
                    field=models.CharField(blank=True, default='', max_length=64, verbose_name='scope'),
                ),
                migrations.AlterField(
                    model_name='hostedsession',
                    name='status',
                    field=models.CharField(blank=True, default='', max_length=64, verbose_name='status'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='account',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='operations', to='govpay.paymentaccount', to_field='uid', verbose_name='account'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='action',
                    field=models.CharField(choices=[('quote', 'Quote'), ('capture', 'Capture'), ('void', 'Void'), ('refund', 'Refund'), ('create_customer', 'Create customer'), ('save_method', 'Save payment method'), ('remove_method', 'Remove payment method'), ('set_default_method', 'Choose default method'), ('import_methods', 'Import payment methods'), ('create_session', 'Open session'), ('update_session', 'Change session'), ('expire_session', 'End session'), ('create_client', 'Create client'), ('create_payment_account', 'Create payment account'), ('update_payment_account', 'Change payment account'), ('set_checkout_config', 'Set up checkout'), ('set_webhook_subscriptions', 'Choose webhook events'), ('refresh_webhook_secret', 'Refresh webhook secret')], max_length=32, verbose_name='action'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='actor',
                    field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='actor'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='amount',
                    field=models.BigIntegerField(blank=True, null=True, verbose_name='amount'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='attempts',
                    field=models.PositiveSmallIntegerField(default=1, verbose_name='attempts'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='attention',
                    field=models.CharField(blank=True, choices=[('late_failure', 'Failed later'), ('not_executed', 'Not carried out'), ('contradicted', 'Turned out otherwise'), ('mismatch', 'Does not match'), ('diverged', 'No longer so on the platform'), ('unrecorded', 'Not in the journal')], default='', max_length=16, verbose_name='review reason'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='currency',
                    field=models.CharField(blank=True, default='', max_length=8, verbose_name='currency'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='customer',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='operations', to='govpay.customer', to_field='uid', verbose_name='customer'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='earlier_attempts',
                    field=models.JSONField(blank=True, default=list, editable=False, verbose_name='earlier attempts'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='error',
                    field=models.TextField(blank=True, default='', verbose_name='error'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='error_class',
                    field=models.CharField(blank=True, default='', editable=False, max_length=64, verbose_name='error class'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='error_code',
                    field=models.CharField(blank=True, default='', max_length=64, verbose_name='error code'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='fee_preview',
                    field=models.BooleanField(db_default=False, default=False, editable=False, verbose_name='fee preview'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='fingerprint',
                    field=models.CharField(blank=True, default='', editable=False, max_length=64, verbose_name='fingerprint'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='key',
                    field=models.UUIDField(default=uuid.uuid4, editable=False, verbose_name='key'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='payment',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='operations', to='govpay.payment', to_field='uid', verbose_name='payment'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='reason',
                    field=models.TextField(blank=True, default='', verbose_name='reason'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='retried_by',
                    field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='retried by'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='row_marks',
                    field=models.TextField(blank=True, default='', editable=False, verbose_name='row marks'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='session',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='operations', to='govpay.hostedsession', to_field='uid', verbose_name='session'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='settled_at',
                    field=models.DateTimeField(blank=True, null=True, verbose_name='resolved by hand'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='settled_by',
                    field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='resolved by'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='state',
                    field=models.CharField(choices=[('started', 'Started'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('unknown', 'Outcome unknown')], default='started', max_length=16, verbose_name='state'),
                ),
                migrations.AlterField(
                    model_name='operation',
                    name='validated_method',
                    field=govpay.models.fields.SealedField(blank=True, editable=False, null=True, verbose_name='validated method'),
                ),
                migrations.AlterField(
                    model_name='outboxsignal',
                    name='attempts',
                    field=models.PositiveSmallIntegerField(default=0, verbose_name='attempts'),
                ),
                migrations.AlterField(
                    model_name='outboxsignal',
                    name='created_at',
                    field=models.DateTimeField(default=django.utils.timezone.now, verbose_name='created at'),
                ),
                migrations.AlterField(
                    model_name='outboxsignal',
                    name='model',
                    field=models.CharField(max_length=64, verbose_name='model'),
                ),
                migrations.AlterField(
                    model_name='outboxsignal',
                    name='name',
                    field=models.CharField(max_length=64, verbose_name='name'),
                ),
                migrations.AlterField(
                    model_name='outboxsignal',
                    name='row',
                    field=models.BigIntegerField(verbose_name='row'),
                ),
                migrations.AlterField(
                    model_name='outboxsignal',
                    name='source',
                    field=models.CharField(choices=[('operation', 'Operation'), ('webhook', 'Webhook'), ('sync', 'Sync')], max_length=16, verbose_name='source'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='account',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='payments', to='govpay.paymentaccount', to_field='uid', verbose_name='account'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='base_amount',
                    field=models.BigIntegerField(blank=True, null=True, verbose_name='base amount'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='brand',
                    field=models.TextField(blank=True, default='', verbose_name='brand'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='currency',
                    field=models.CharField(blank=True, default='', max_length=8, verbose_name='currency'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='customer',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='payments', to='govpay.customer', to_field='uid', verbose_name='customer'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='decline_code',
                    field=models.TextField(blank=True, default='', verbose_name='decline code'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='digest'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='flag',
                    field=models.CharField(blank=True, choices=[('chargeback', 'Disputed'), ('return', 'Returned by the bank'), ('reversal', 'Dispute reversed')], default='', editable=False, max_length=32, verbose_name='flag'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='flag_backlog',
                    field=models.BooleanField(default=False, editable=False, verbose_name='flag backlog'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='flag_movement',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='govpay.transaction', to_field='uid', verbose_name='flag movement'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='flag_order',
                    field=govpay.models.fields.UidField(blank=True, default='', editable=False, max_length=160, verbose_name='flag order'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='method_type',
                    field=models.TextField(blank=True, default='', verbose_name='method type'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='refunded_amount',
                    field=models.BigIntegerField(blank=True, null=True, verbose_name='refunded amount'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='replaced_digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='replaced digest'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='saved_method',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='payments', to='govpay.savedpaymentmethod', to_field='uid', verbose_name='saved method'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='session',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='payments', to='govpay.hostedsession', to_field='uid', verbose_name='session'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='status',
                    field=models.CharField(blank=True, default='', max_length=64, verbose_name='status'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='tax_amount',
                    field=models.BigIntegerField(blank=True, null=True, verbose_name='tax amount'),
                ),
                migrations.AlterField(
                    model_name='payment',
                    name='total_amount',
                    field=models.BigIntegerField(blank=True, null=True, verbose_name='total amount'),
                ),
                migrations.AlterField(
                    model_name='paymentaccount',
                    name='active',
                    field=models.BooleanField(blank=True, null=True, verbose_name='active'),
                ),
                migrations.AlterField(
                    model_name='paymentaccount',
                    name='allowed_origins',
                    field=models.JSONField(blank=True, default=list, verbose_name='allowed origins'),
                ),
                migrations.AlterField(
                    model_name='paymentaccount',
                    name='client',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='accounts', to='govpay.client', to_field='uid', verbose_name='client'),
                ),
                migrations.AlterField(
                    model_name='paymentaccount',
                    name='digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='digest'),
                ),
                migrations.AlterField(
                    model_name='paymentaccount',
                    name='name',
                    field=models.TextField(blank=True, default='', verbose_name='name'),
                ),
                migrations.AlterField(
                    model_name='paymentaccount',
                    name='previous_webhook_secret',
                    field=govpay.models.fields.SealedField(blank=True, editable=False, null=True, verbose_name='previous webhook secret'),
                ),
                migrations.AlterField(
                    model_name='paymentaccount',
                    name='processor',
                    field=models.TextField(blank=True, default='', verbose_name='processor'),
                ),
                migrations.AlterField(
                    model_name='paymentaccount',
                    name='replaced_digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='replaced digest'),
                ),
                migrations.AlterField(
                    model_name='paymentaccount',
                    name='webhook_secret',
                    field=govpay.models.fields.SealedField(blank=True, editable=False, null=True, verbose_name='webhook secret'),
                ),
                migrations.AlterField(
                    model_name='paymentlink',
                    name='account',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='payment_links', to='govpay.paymentaccount', to_field='uid', verbose_name='account'),
                ),
                migrations.AlterField(
                    model_name='paymentlink',
                    name='amount',
                    field=models.BigIntegerField(verbose_name='amount'),
                ),
                migrations.AlterField(
                    model_name='paymentlink',
                    name='attempt',
                    field=models.PositiveIntegerField(default=0, editable=False, verbose_name='attempt'),
                ),
                migrations.AlterField(
                    model_name='paymentlink',
                    name='created_by',
                    field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='created by'),
                ),
                migrations.AlterField(
                    model_name='paymentlink',
                    name='currency',
                    field=models.CharField(default='USD', max_length=8, verbose_name='currency'),
                ),
                migrations.AlterField(
                    model_name='paymentlink',
                    name='customer',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='payment_links', to='govpay.customer', to_field='uid', verbose_name='customer'),
                ),
                migrations.AlterField(
                    model_name='paymentlink',
                    name='description',
                    field=models.TextField(blank=True, default='', verbose_name='description'),
                ),
                migrations.AlterField(
                    model_name='paymentlink',
                    name='expires_at',
                    field=models.DateTimeField(verbose_name='expires at'),
                ),
                migrations.AlterField(
                    model_name='paymentlink',
                    name='payment',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='payment_links', to='govpay.payment', to_field='uid', verbose_name='payment'),
                ),
                migrations.AlterField(
                    model_name='paymentlink',
                    name='session',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='payment_links', to='govpay.hostedsession', to_field='uid', verbose_name='session'),
                ),
                migrations.AlterField(
                    model_name='paymentlink',
                    name='state',
                    field=models.CharField(choices=[('open', 'Open'), ('paid', 'Paid'), ('cancelled', 'Cancelled'), ('expired', 'Expired')], default='open', max_length=16, verbose_name='state'),
                ),
                migrations.AlterField(
                    model_name='savedpaymentmethod',
                    name='account',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='saved_methods', to='govpay.paymentaccount', to_field='uid', verbose_name='account'),
                ),
                migrations.AlterField(
                    model_name='savedpaymentmethod',
                    name='account_type',
                    field=models.TextField(blank=True, default='', verbose_name='account type'),
                ),
                migrations.AlterField(
                    model_name='savedpaymentmethod',
                    name='bank_name',
                    field=models.TextField(blank=True, default='', verbose_name='bank name'),
                ),
                migrations.AlterField(
                    model_name='savedpaymentmethod',
                    name='brand',
                    field=models.TextField(blank=True, default='', verbose_name='brand'),
                ),
                migrations.AlterField(
                    model_name='savedpaymentmethod',
                    name='customer',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='saved_methods', to='govpay.customer', to_field='uid', verbose_name='customer'),
                ),
                migrations.AlterField(
                    model_name='savedpaymentmethod',
                    name='digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='digest'),
                ),
                migrations.AlterField(
                    model_name='savedpaymentmethod',
                    name='holder_name',
                    field=models.TextField(blank=True, default='', verbose_name='holder name'),
                ),
                migrations.AlterField(
                    model_name='savedpaymentmethod',
                    name='method_type',
                    field=models.TextField(blank=True, default='', verbose_name='method type'),
                ),
                migrations.AlterField(
                    model_name='savedpaymentmethod',
                    name='replaced_digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='replaced digest'),
                ),
                migrations.AlterField(
                    model_name='synccursor',
                    name='account',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='sync_cursors', to='govpay.paymentaccount', to_field='uid', verbose_name='account'),
                ),
                migrations.AlterField(
                    model_name='synccursor',
                    name='error',
                    field=models.TextField(blank=True, default='', verbose_name='error'),
                ),
                migrations.AlterField(
                    model_name='synccursor',
                    name='full_position',
                    field=models.JSONField(blank=True, null=True, verbose_name='full position'),
                ),
                migrations.AlterField(
                    model_name='synccursor',
                    name='lease_process_start',
                    field=models.CharField(blank=True, default='', editable=False, max_length=64, verbose_name='lease process start'),
                ),
                migrations.AlterField(
                    model_name='synccursor',
                    name='lease_token',
                    field=models.UUIDField(blank=True, editable=False, null=True, verbose_name='lease token'),
                ),
                migrations.AlterField(
                    model_name='synccursor',
                    name='mode',
                    field=models.CharField(blank=True, choices=[('incremental', 'Incremental'), ('full', 'Full')], default='', max_length=16, verbose_name='mode'),
                ),
                migrations.AlterField(
                    model_name='synccursor',
                    name='order',
                    field=models.CharField(blank=True, default='', max_length=16, verbose_name='order'),
                ),
                migrations.AlterField(
                    model_name='synccursor',
                    name='position',
                    field=models.JSONField(blank=True, null=True, verbose_name='position'),
                ),
                migrations.AlterField(
                    model_name='synccursor',
                    name='resource',
                    field=models.CharField(max_length=32, verbose_name='resource'),
                ),
                migrations.AlterField(
                    model_name='synccursor',
                    name='watermark',
                    field=models.JSONField(blank=True, null=True, verbose_name='watermark'),
                ),
                migrations.AlterField(
                    model_name='syncrun',
                    name='account',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='sync_runs', to='govpay.paymentaccount', to_field='uid', verbose_name='account'),
                ),
                migrations.AlterField(
                    model_name='syncrun',
                    name='created',
                    field=models.PositiveBigIntegerField(default=0, verbose_name='created'),
                ),
                migrations.AlterField(
                    model_name='syncrun',
                    name='deleted',
                    field=models.PositiveBigIntegerField(default=0, verbose_name='deleted'),
                ),
                migrations.AlterField(
                    model_name='syncrun',
                    name='error',
                    field=models.TextField(blank=True, default='', verbose_name='error'),
                ),
                migrations.AlterField(
                    model_name='syncrun',
                    name='fetched',
                    field=models.PositiveBigIntegerField(default=0, verbose_name='fetched'),
                ),
                migrations.AlterField(
                    model_name='syncrun',
                    name='mode',
                    field=models.CharField(choices=[('incremental', 'Incremental'), ('full', 'Full')], max_length=16, verbose_name='mode'),
                ),
                migrations.AlterField(
                    model_name='syncrun',
                    name='pages',
                    field=models.PositiveBigIntegerField(default=0, verbose_name='pages'),
                ),
                migrations.AlterField(
                    model_name='syncrun',
                    name='rejected',
                    field=models.JSONField(blank=True, default=list, verbose_name='rejected'),
                ),
                migrations.AlterField(
                    model_name='syncrun',
                    name='resource',
                    field=models.CharField(max_length=32, verbose_name='resource'),
                ),
                migrations.AlterField(
                    model_name='syncrun',
                    name='state',
                    field=models.CharField(choices=[('running', 'Running'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('interrupted', 'Interrupted')], default='running', max_length=16, verbose_name='state'),
                ),
                migrations.AlterField(
                    model_name='syncrun',
                    name='unchanged',
                    field=models.PositiveBigIntegerField(default=0, verbose_name='unchanged'),
                ),
                migrations.AlterField(
                    model_name='syncrun',
                    name='updated',
                    field=models.PositiveBigIntegerField(default=0, verbose_name='updated'),
                ),
                migrations.AlterField(
                    model_name='terminal',
                    name='account',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='terminals', to='govpay.paymentaccount', to_field='uid', verbose_name='account'),
                ),
                migrations.AlterField(
                    model_name='terminal',
                    name='digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='digest'),
                ),
                migrations.AlterField(
                    model_name='terminal',
                    name='model',
                    field=models.TextField(blank=True, default='', verbose_name='model'),
                ),
                migrations.AlterField(
                    model_name='terminal',
                    name='name',
                    field=models.TextField(blank=True, default='', verbose_name='name'),
                ),
                migrations.AlterField(
                    model_name='terminal',
                    name='replaced_digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='replaced digest'),
                ),
                migrations.AlterField(
                    model_name='terminal',
                    name='serial_number',
                    field=models.CharField(blank=True, default='', max_length=255, verbose_name='serial number'),
                ),
                migrations.AlterField(
                    model_name='terminal',
                    name='status',
                    field=models.CharField(blank=True, default='', max_length=64, verbose_name='status'),
                ),
                migrations.AlterField(
                    model_name='transaction',
                    name='account',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='transactions', to='govpay.paymentaccount', to_field='uid', verbose_name='account'),
                ),
                migrations.AlterField(
                    model_name='transaction',
                    name='amount',
                    field=models.BigIntegerField(blank=True, null=True, verbose_name='amount'),
                ),
                migrations.AlterField(
                    model_name='transaction',
                    name='currency',
                    field=models.CharField(blank=True, default='', max_length=8, verbose_name='currency'),
                ),
                migrations.AlterField(
                    model_name='transaction',
                    name='digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='digest'),
                ),
                migrations.AlterField(
                    model_name='transaction',
                    name='payment',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='transactions', to='govpay.payment', to_field='uid', verbose_name='payment'),
                ),
                migrations.AlterField(
                    model_name='transaction',
                    name='reason',
                    field=models.TextField(blank=True, default='', verbose_name='reason'),
                ),
                migrations.AlterField(
                    model_name='transaction',
                    name='reason_code',
                    field=models.TextField(blank=True, default='', verbose_name='reason code'),
                ),
                migrations.AlterField(
                    model_name='transaction',
                    name='replaced_digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='replaced digest'),
                ),
                migrations.AlterField(
                    model_name='transaction',
                    name='status',
                    field=models.CharField(blank=True, default='', max_length=64, verbose_name='status'),
                ),
                migrations.AlterField(
                    model_name='transaction',
                    name='type',
                    field=models.CharField(blank=True, default='', max_length=64, verbose_name='type'),
                ),
                migrations.AlterField(
                    model_name='webhookevent',
                    name='account',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='webhook_events', to='govpay.paymentaccount', to_field='uid', verbose_name='account'),
                ),
                migrations.AlterField(
                    model_name='webhookevent',
                    name='attempts',
                    field=models.PositiveIntegerField(default=0, verbose_name='attempts'),
                ),
                migrations.AlterField(
                    model_name='webhookevent',
                    name='claimed_until',
                    field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='claimed until'),
                ),
                migrations.AlterField(
                    model_name='webhookevent',
                    name='due_at',
                    field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='due at'),
                ),
                migrations.AlterField(
                    model_name='webhookevent',
                    name='error',
                    field=models.TextField(blank=True, default='', verbose_name='error'),
                ),
                migrations.AlterField(
                    model_name='webhookevent',
                    name='event_type',
                    field=models.CharField(max_length=255, verbose_name='event type'),
                ),
                migrations.AlterField(
                    model_name='webhookevent',
                    name='payload',
                    field=models.JSONField(default=dict, verbose_name='payload'),
                ),
                migrations.AlterField(
                    model_name='webhookevent',
                    name='payment',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='webhook_events', to='govpay.payment', to_field='uid', verbose_name='payment'),
                ),
                migrations.AlterField(
                    model_name='webhookevent',
                    name='state',
                    field=models.CharField(choices=[('received', 'Received'), ('processed', 'Processed'), ('failed', 'Failed'), ('ignored', 'Ignored')], default='received', max_length=16, verbose_name='state'),
                ),
                migrations.AlterField(
                    model_name='webhooksubscription',
                    name='account',
                    field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='webhook_subscriptions', to='govpay.paymentaccount', to_field='uid', verbose_name='account'),
                ),
                migrations.AlterField(
                    model_name='webhooksubscription',
                    name='digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='digest'),
                ),
                migrations.AlterField(
                    model_name='webhooksubscription',
                    name='enabled',
                    field=models.BooleanField(blank=True, null=True, verbose_name='enabled'),
                ),
                migrations.AlterField(
                    model_name='webhooksubscription',
                    name='event_type',
                    field=models.CharField(blank=True, default='', max_length=255, verbose_name='event type'),
                ),
                migrations.AlterField(
                    model_name='webhooksubscription',
                    name='replaced_digest',
                    field=models.CharField(blank=True, default='', editable=False, max_length=40, verbose_name='replaced digest'),
                ),
            ],
        ),
    ]
