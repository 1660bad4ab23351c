"""The name and the ID of each person, in columns that stay when the user is deleted."""

from django.contrib.auth import get_user_model
from django.db import migrations, models

PEOPLE = (("Operation", "actor"), ("Operation", "retried_by"), ("Operation", "settled_by"), ("PaymentLink", "created_by"))


def keep(apps, schema_editor):
    """Fill the columns of the rows that exist. One statement for each user and foreign key."""
    user_model, database = get_user_model(), schema_editor.connection.alias
    users = apps.get_model(user_model._meta.label)._base_manager.using(database)
    for name, column in PEOPLE:
        rows = apps.get_model("govpay", name)._base_manager.using(database)
        known = rows.exclude(**{column: None}).order_by().values(column).distinct()
        if not known.exists():
            continue  # a new site: the user model may get its columns only later
        for pk, username in users.filter(pk__in=known).values_list("pk", user_model.USERNAME_FIELD):
            kept = {f"{column}_name": str(username)[:255], f"{column}_user_id": str(pk)[:64]}
            rows.filter(**{column: pk, f"{column}_user_id": ""}).update(**kept)


class Migration(migrations.Migration):

    dependencies = [
        ('govpay', '0006_missing_unproved_mended_older'),
    ]

    operations = [
        migrations.AddField(
            model_name='operation',
            name='actor_name',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=255, verbose_name='name of the user'),
        ),
        migrations.AddField(
            model_name='operation',
            name='actor_user_id',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=64, verbose_name='ID of the user'),
        ),
        migrations.AddField(
            model_name='operation',
            name='attention_cleared_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='dealt with'),
        ),
        migrations.AddField(
            model_name='operation',
            name='attention_cleared_by_name',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=255, verbose_name='name of the user'),
        ),
        migrations.AddField(
            model_name='operation',
            name='attention_cleared_by_user_id',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=64, verbose_name='ID of the user'),
        ),
        migrations.AddField(
            model_name='operation',
            name='retried_by_name',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=255, verbose_name='name of the user'),
        ),
        migrations.AddField(
            model_name='operation',
            name='retried_by_user_id',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=64, verbose_name='ID of the user'),
        ),
        migrations.AddField(
            model_name='operation',
            name='settled_by_name',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=255, verbose_name='name of the user'),
        ),
        migrations.AddField(
            model_name='operation',
            name='settled_by_user_id',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=64, verbose_name='ID of the user'),
        ),
        migrations.AddField(
            model_name='payment',
            name='flag_cleared_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='dealt with'),
        ),
        migrations.AddField(
            model_name='payment',
            name='flag_cleared_by_name',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=255, verbose_name='name of the user'),
        ),
        migrations.AddField(
            model_name='payment',
            name='flag_cleared_by_user_id',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=64, verbose_name='ID of the user'),
        ),
        migrations.AddField(
            model_name='paymentlink',
            name='cancelled_by_name',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=255, verbose_name='name of the user'),
        ),
        migrations.AddField(
            model_name='paymentlink',
            name='cancelled_by_user_id',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=64, verbose_name='ID of the user'),
        ),
        migrations.AddField(
            model_name='paymentlink',
            name='created_by_name',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=255, verbose_name='name of the user'),
        ),
        migrations.AddField(
            model_name='paymentlink',
            name='created_by_user_id',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=64, verbose_name='ID of the user'),
        ),
        migrations.RunPython(keep, migrations.RunPython.noop, elidable=True, hints={"model_name": "operation"}),
    ]
