"""A mark per book, and one for all of them, which holds for each: no longer one per currency, which nothing asked for."""

from django.db import migrations, models


def keep_the_mark_of_all(apps, schema_editor):
    """The others would have to be merged; a book without a mark of its own goes by this one, or is looked at whole."""
    apps.get_model("reconciliation", "Watermark").objects.exclude(account="*").delete()


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0001_initial")]

    operations = [
        migrations.RunPython(keep_the_mark_of_all, migrations.RunPython.noop, elidable=True),
        migrations.AlterModelOptions(name="watermark", options={"ordering": ["account"]}),
        migrations.RemoveConstraint(model_name="watermark", name="one_watermark_per_book_and_currency"),
        migrations.RemoveField(model_name="watermark", name="currency"),
        migrations.AlterField(
            model_name="watermark",
            name="account",
            field=models.CharField(blank=True, default="", max_length=64, unique=True),
        ),
    ]
