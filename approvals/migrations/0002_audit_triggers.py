"""The audit table refuses UPDATE and DELETE from here on (TRUNCATE too on PostgreSQL)."""

from django.db import migrations

from approvals import triggers


def install(apps, schema_editor):
    triggers.install(schema_editor.connection)


def remove(apps, schema_editor):
    triggers.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("approvals", "0001_initial")]
    operations = [migrations.RunPython(install, remove)]
