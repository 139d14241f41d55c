from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("dialer", "0003_real_switch"),
    ]

    operations = [
        migrations.AddField(
            model_name="node",
            name="ready",
            field=models.BooleanField(default=True, editable=False),
        ),
        migrations.AddField(
            model_name="node",
            name="restarted_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="node",
            name="sessions_of_others",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="node",
            name="slowed_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="node",
            name="started_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="node",
            name="tokens",
            field=models.FloatField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="node",
            name="tokens_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
