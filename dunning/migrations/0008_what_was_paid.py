"""What was open and what had been paid when a case was opened, so that what was recovered can be told from what was
credited. Old rows keep what was said of them, since nobody can say better now:

- a recovered one of which 0 was written down was reported with what was open at its latest failure: that is written down;
- what was open at the opening is what was reported as at risk; that nothing had been paid before, as was taken for granted.

The history's rows of before say 0 in the new columns: they never knew.
"""

from django.db import migrations, models
from django.db.models import Case, F, When
from django.db.models.functions import Greatest


def keep_what_was_said(apps, schema_editor):
    cases = apps.get_model("dunning", "DunningCase").objects.using(schema_editor.connection.alias).order_by()
    cases.filter(state="recovered", recovered_amount=0).update(recovered_amount=F("amount_remaining"))
    cases.update(
        amount_at_opening=Case(
            When(state="recovered", then=Greatest("amount_remaining", "recovered_amount")),
            default=F("amount_remaining") + F("recovered_amount"),
        )
    )


class Migration(migrations.Migration):

    dependencies = [
        ('dunning', '0007_service_state'),
    ]

    operations = [
        migrations.AddField(
            model_name='dunningcase',
            name='amount_at_opening',
            field=models.BigIntegerField(default=0, help_text='what was open when the case was opened'),
        ),
        migrations.AddField(
            model_name='dunningcase',
            name='paid_at_opening',
            field=models.BigIntegerField(default=0, help_text='what had been paid of it before'),
        ),
        migrations.AddField(
            model_name='historicaldunningcase',
            name='amount_at_opening',
            field=models.BigIntegerField(default=0, help_text='what was open when the case was opened'),
        ),
        migrations.AddField(
            model_name='historicaldunningcase',
            name='paid_at_opening',
            field=models.BigIntegerField(default=0, help_text='what had been paid of it before'),
        ),
        migrations.AlterField(
            model_name='dunningcase',
            name='amount_remaining',
            field=models.BigIntegerField(help_text='what is open of it, minor units'),
        ),
        migrations.AlterField(
            model_name='dunningcase',
            name='closed_reason',
            field=models.CharField(blank=True, choices=[('paid', 'paid'), ('voided', 'invoice voided'), ('uncollectible', 'marked uncollectible'), ('cancelled', 'subscription cancelled'), ('credited', 'credited, nothing was paid'), ('gone', 'no longer at Stripe'), ('finalized', 'finalized at last')], default='', max_length=16),
        ),
        migrations.AlterField(
            model_name='dunningcase',
            name='recovered_amount',
            field=models.BigIntegerField(default=0, help_text='what was paid of it since, minor units'),
        ),
        migrations.AlterField(
            model_name='historicaldunningcase',
            name='amount_remaining',
            field=models.BigIntegerField(help_text='what is open of it, minor units'),
        ),
        migrations.AlterField(
            model_name='historicaldunningcase',
            name='closed_reason',
            field=models.CharField(blank=True, choices=[('paid', 'paid'), ('voided', 'invoice voided'), ('uncollectible', 'marked uncollectible'), ('cancelled', 'subscription cancelled'), ('credited', 'credited, nothing was paid'), ('gone', 'no longer at Stripe'), ('finalized', 'finalized at last')], default='', max_length=16),
        ),
        migrations.AlterField(
            model_name='historicaldunningcase',
            name='recovered_amount',
            field=models.BigIntegerField(default=0, help_text='what was paid of it since, minor units'),
        ),
        migrations.RunPython(keep_what_was_said, migrations.RunPython.noop),
    ]
