from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("dialer", "0004_several_switches"),
    ]

    operations = [
        migrations.AddField(
            model_name="callrecord",
            name="settled",
            field=models.BooleanField(default=False),
        ),
        migrations.AddIndex(
            model_name="callrecord",
            index=models.Index(
                condition=models.Q(("settled", False)), fields=["received_at"], name="call_record_unsettled"
            ),
        ),
    ]
