from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("members", "0001_initial"),
        ("agents", "0002_initial"),
        ("campaigns", "0001_initial"),
        ("dialer", "0002_initial"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="member", name="member_by_state"),
        migrations.AddIndex(
            model_name="member",
            index=models.Index(fields=["campaign", "state", "end_cause", "success", "hidden"], name="member_by_state"),
        ),
    ]
