"""From here on the journal is append-only and every entry balances, by the database's own triggers; and the indexes of
its lists."""

from django.db import migrations, models

from settlements.ledger import triggers


def install(apps, schema_editor):
    triggers.install(schema_editor.connection)


def remove(apps, schema_editor):
    triggers.remove(schema_editor.connection)


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0001_initial'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='balancesnapshot',
            index=models.Index(fields=['through'], name='snapshot_through'),
        ),
        migrations.AddIndex(
            model_name='journalentry',
            index=models.Index(fields=['-occurred_at', '-id'], name='journal_time'),
        ),
        migrations.AddIndex(
            model_name='journalentry',
            index=models.Index(fields=['kind', '-occurred_at', '-id'], name='journal_kind'),
        ),
        migrations.AddIndex(
            model_name='posting',
            index=models.Index(condition=models.Q(('invoice', ''), _negated=True), fields=['invoice'], name='posting_invoice'),
        ),
        migrations.RunPython(install, remove),
    ]
