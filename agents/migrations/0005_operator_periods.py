"""Periods of operators, and the trigger that writes them.

The trigger's condition is looked at row by row without running anything; its function runs only for a row whose status
or state did change, reads one row of an index and adds one.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

TRIGGER = """
CREATE FUNCTION agents_operator_period() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    instant timestamptz := NEW.state_since;
    before timestamptz;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.state = OLD.state THEN
        instant := NEW.status_since;
    END IF;
    instant := COALESCE(instant, NEW.state_since, NEW.status_since);
    IF instant IS NULL THEN
        -- Nobody has chosen a status for him yet.
        RETURN NULL;
    END IF;
    SELECT since INTO before FROM agents_operatorperiod
    WHERE operator_id = NEW.id ORDER BY since DESC, id DESC LIMIT 1;
    INSERT INTO agents_operatorperiod (operator_id, since, status, state, forced_break, attempt_id, by_id, reason)
    VALUES (
        NEW.id, GREATEST(instant, before), NEW.status, NEW.state, NEW.forced_break,
        CASE WHEN NEW.state = 'wrap_up' THEN NEW.last_attempt_id ELSE NEW.current_attempt_id END,
        CASE WHEN TG_OP = 'INSERT' OR NEW.status <> OLD.status THEN NEW.changed_by_id END,
        CASE WHEN TG_OP = 'INSERT' OR NEW.status <> OLD.status THEN NEW.change_reason ELSE '' END
    );
    RETURN NULL;
END $$;

CREATE TRIGGER agents_operator_added AFTER INSERT ON agents_operator
FOR EACH ROW EXECUTE FUNCTION agents_operator_period();

CREATE TRIGGER agents_operator_changed AFTER UPDATE OF status, state ON agents_operator
FOR EACH ROW WHEN (NEW.status <> OLD.status OR NEW.state <> OLD.state)
EXECUTE FUNCTION agents_operator_period();

INSERT INTO agents_operatorperiod (operator_id, since, status, state, forced_break, attempt_id, reason)
SELECT id, GREATEST(state_since, status_since), status, state, forced_break,
       CASE WHEN state = 'wrap_up' THEN last_attempt_id ELSE current_attempt_id END, ''
FROM agents_operator WHERE COALESCE(state_since, status_since) IS NOT NULL;
"""

NO_TRIGGER = """
DROP TRIGGER agents_operator_added ON agents_operator;
DROP TRIGGER agents_operator_changed ON agents_operator;
DROP FUNCTION agents_operator_period();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0004_registrations"),
        ("dialer", "0006_attempt_lists"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="operator",
            name="change_reason",
            field=models.CharField(blank=True, default="", editable=False, max_length=200),
        ),
        migrations.AddField(
            model_name="operator",
            name="changed_by",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.CreateModel(
            name="OperatorPeriod",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("since", models.DateTimeField()),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("logged_out", "Logged Out"),
                            ("available", "Available"),
                            ("on_demand", "Available (On Demand)"),
                            ("on_break", "On Break"),
                        ],
                        max_length=12,
                        verbose_name="status",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("idle", "Idle"),
                            ("waiting", "Waiting"),
                            ("reserved", "Reserved"),
                            ("receiving", "Receiving"),
                            ("in_call", "In a queue call"),
                            ("wrap_up", "Wrap up"),
                        ],
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("forced_break", models.BooleanField(default=False, verbose_name="forced break")),
                ("reason", models.CharField(blank=True, default="", max_length=200)),
                (
                    "attempt",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="dialer.attempt",
                    ),
                ),
                (
                    "by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "operator",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="periods",
                        to="agents.operator",
                    ),
                ),
            ],
            options={
                "ordering": ["operator", "since", "id"],
                "indexes": [models.Index(fields=["operator", "since", "id"], name="operator_period")],
            },
        ),
        migrations.RunSQL(TRIGGER, NO_TRIGGER),
    ]
