from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('settlements', '0006_claims_index'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='earning',
            index=models.Index(fields=['invoice_number'], name='earning_invoice_number'),
        ),
    ]
