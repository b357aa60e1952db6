"""journal_moves with its ids in the order of their bytes; see mirror's 0011, which does the same for the other side."""

from django.db import migrations

_INDEX = """
    CREATE INDEX journal_moves ON ledger_journalentry (balance_transaction{collation})
    INCLUDE (id, book, currency, cash, fee) WHERE (NOT (cash = 0) OR NOT (fee = 0))
"""


def _made(collation):
    def make(apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute("DROP INDEX journal_moves")
            schema_editor.execute(_INDEX.format(collation=collation))

    return make


class Migration(migrations.Migration):
    dependencies = [("ledger", "0010_reconciliation")]

    operations = [migrations.RunPython(_made(' COLLATE "C"'), _made(""))]
