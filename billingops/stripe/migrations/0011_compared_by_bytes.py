"""balance_txn_compared with its ids in the order of their bytes, on PostgreSQL: reconciliation merges it with the
ledger's journal_moves, and a database in a language would compare two million ids by that language's rules. Django's
state says nothing of it: SQLite has no such collation."""

from django.db import migrations

_INDEX = """
    CREATE INDEX balance_txn_compared ON mirror_mirroredbalancetransaction (object_id{collation})
    INCLUDE (id, account, currency, net, fee)
"""


def _made(collation):
    def make(apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute("DROP INDEX balance_txn_compared")
            schema_editor.execute(_INDEX.format(collation=collation))

    return make


class Migration(migrations.Migration):
    dependencies = [("mirror", "0010_reconciliation")]

    operations = [migrations.RunPython(_made(' COLLATE "C"'), _made(""))]
