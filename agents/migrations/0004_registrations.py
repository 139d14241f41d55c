import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0003_real_switch"),
        ("dialer", "0004_several_switches"),
    ]

    operations = [
        migrations.RemoveField(
            model_name="operator",
            name="registered_changed_at",
        ),
        migrations.CreateModel(
            name="Registration",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("registered", models.BooleanField()),
                ("at", models.DateTimeField()),
                (
                    "node",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="registrations",
                        to="dialer.node",
                    ),
                ),
                (
                    "operator",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="registrations", to="agents.operator"
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("operator", "node"), name="registration_once")],
            },
        ),
    ]
