"""Triggers that write events: in the transaction of the change, whoever made it and however many rows at once.

A trigger's condition is looked at row by row without running anything, and its function runs only for a row that did
change so; there, one look at the few subscriptions says whether anybody wants to know.
"""

from django.db import migrations

NOTE = """
CREATE FUNCTION webhooks_note(kind text, campaign bigint, happened timestamptz, told jsonb) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO webhooks_event (uuid, type, campaign_id, at, payload)
    VALUES (gen_random_uuid(), kind, campaign, COALESCE(happened, clock_timestamp()), told)
$$;

CREATE FUNCTION webhooks_wanted(kind text, campaign bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM webhooks_subscription AS s
        WHERE s.enabled AND kind = ANY(s.types) AND (s.campaign_id IS NULL OR s.campaign_id = campaign)
    )
$$;
"""

ATTEMPT = """
CREATE FUNCTION webhooks_attempt_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF webhooks_wanted('attempt.ended', NEW.campaign_id) THEN
        PERFORM webhooks_note('attempt.ended', NEW.campaign_id, NEW.ended_at, jsonb_build_object(
            'attempt', NEW.id,
            'member', NEW.member_id,
            'external_id', (SELECT m.external_id FROM members_member AS m WHERE m.id = NEW.member_id),
            'operator', NEW.operator_id,
            'number', NEW.digits,
            'outcome', NEW.outcome,
            'counted', NEW.counted,
            'cause', NEW.cause,
            'operator_cause', NEW.operator_cause,
            'subscriber_cause', NEW.subscriber_cause,
            'reserved_at', NEW.reserved_at,
            'subscriber_answered_at', NEW.subscriber_answered_at,
            'bridged_at', NEW.bridged_at,
            'talk_ended_at', NEW.talk_ended_at,
            'ended_at', NEW.ended_at
        ));
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER webhooks_attempt_ended AFTER UPDATE OF ended_at ON dialer_attempt
FOR EACH ROW WHEN (OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL)
EXECUTE FUNCTION webhooks_attempt_ended();
"""

MEMBER = """
CREATE FUNCTION webhooks_member_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF webhooks_wanted('member.ended', NEW.campaign_id) THEN
        PERFORM webhooks_note('member.ended', NEW.campaign_id, NEW.ended_at, jsonb_build_object(
            'member', NEW.id,
            'external_id', NEW.external_id,
            'end_cause', NEW.end_cause,
            'success', NEW.success,
            'counted', NEW.counted,
            'ended_at', NEW.ended_at
        ));
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER webhooks_member_ended AFTER UPDATE OF state ON members_member
FOR EACH ROW WHEN (NEW.state = 'ended' AND OLD.state <> 'ended')
EXECUTE FUNCTION webhooks_member_ended();
"""

CAMPAIGN = """
CREATE FUNCTION webhooks_campaign_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF webhooks_wanted('campaign.state', NEW.id) THEN
        PERFORM webhooks_note('campaign.state', NEW.id, NEW.state_since, jsonb_build_object(
            'name', NEW.name,
            'state', NEW.state,
            'before', OLD.state,
            'completion', NULLIF(NEW.completion, ''),
            'left', NEW.completion_left,
            'sleeping_until', NEW.sleeping_until
        ));
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER webhooks_campaign_state AFTER UPDATE OF state ON campaigns_campaign
FOR EACH ROW WHEN (NEW.state <> OLD.state)
EXECUTE FUNCTION webhooks_campaign_state();
"""

OPERATOR = """
CREATE FUNCTION webhooks_operator_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF webhooks_wanted('operator.status', NULL) THEN
        PERFORM webhooks_note('operator.status', NULL, NEW.status_since, jsonb_build_object(
            'operator', NEW.id,
            'name', NEW.name,
            'extension', NEW.extension,
            'status', NEW.status,
            'before', OLD.status,
            'forced', NEW.forced_break
        ));
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER webhooks_operator_status AFTER UPDATE OF status ON agents_operator
FOR EACH ROW WHEN (NEW.status <> OLD.status)
EXECUTE FUNCTION webhooks_operator_status();
"""


def trigger(create: str, name: str, table: str) -> migrations.RunSQL:
    return migrations.RunSQL(create, f"DROP TRIGGER {name} ON {table}; DROP FUNCTION {name}();")


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0001_initial"),
        ("campaigns", "0001_initial"),
        ("dialer", "0002_initial"),
        ("members", "0001_initial"),
        ("webhooks", "0001_initial"),
    ]

    operations = [
        # The order in which events are published. A column's own sequence would be drawn from by the insert.
        migrations.RunSQL("CREATE SEQUENCE webhooks_event_place", "DROP SEQUENCE webhooks_event_place"),
        migrations.RunSQL(
            NOTE,
            "DROP FUNCTION webhooks_wanted(text, bigint);"
            " DROP FUNCTION webhooks_note(text, bigint, timestamptz, jsonb);",
        ),
        trigger(ATTEMPT, "webhooks_attempt_ended", "dialer_attempt"),
        trigger(MEMBER, "webhooks_member_ended", "members_member"),
        trigger(CAMPAIGN, "webhooks_campaign_state", "campaigns_campaign"),
        trigger(OPERATOR, "webhooks_operator_status", "agents_operator"),
    ]
