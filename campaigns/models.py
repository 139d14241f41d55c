"""Calendars, campaigns and their rules, gateways and routes: the fields, and what a database holds of their rules."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from campaigns import hours
from campaigns.fields import (
    MinuteField,
    MinuteRangesField,
    VariablesField,
    check_call_timeout,
    check_links,
    check_pattern,
    check_placeholders,
    check_region,
    check_sound_file,
    check_time_zone,
    clock_text,
)

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class Weekday(models.IntegerChoices):
    """ISO weekdays: Monday is 1."""

    MONDAY = 1, _("Monday")
    TUESDAY = 2, _("Tuesday")
    WEDNESDAY = 3, _("Wednesday")
    THURSDAY = 4, _("Thursday")
    FRIDAY = 5, _("Friday")
    SATURDAY = 6, _("Saturday")
    SUNDAY = 7, _("Sunday")


class Calendar(models.Model):
    """When a campaign may dial: dates, working hours by weekday and holidays, on the wall clock of a zone."""

    name = models.CharField(_("name"), max_length=120, unique=True)
    time_zone = models.CharField(
        _("time zone"), max_length=64, validators=[check_time_zone], help_text=_("IANA name, for example Europe/Kyiv.")
    )
    first_date = models.DateField(_("first date"), null=True, blank=True)
    last_date = models.DateField(_("last date"), null=True, blank=True, help_text=_("The last day of calls, included."))

    ranges: RelatedManager[CalendarRange]
    holidays: RelatedManager[Holiday]

    class Meta:
        verbose_name = _("calendar")
        verbose_name_plural = _("calendars")
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(first_date__isnull=True) | Q(last_date__isnull=True) | Q(first_date__lte=F("last_date")),
                name="calendar_dates_in_order",
                violation_error_message=_("The last date is before the first date."),
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.first_date and self.last_date and self.last_date < self.first_date:
            raise ValidationError({"last_date": _("The last date is before the first date.")})

    def as_hours(self) -> hours.Hours:
        """Return the pure value that the rules are computed on. Two queries, or none where both sets are prefetched."""
        return self.hours_of(self.ranges.all(), self.holidays.all())

    def hours_of(self, ranges: Iterable[CalendarRange], holidays: Iterable[Holiday]) -> hours.Hours:
        """Return what the calendar would be with these working hours and holidays."""
        weekly: dict[int, list[tuple[int, int]]] = {}
        for item in ranges:
            weekly.setdefault(item.weekday, []).append((item.start, item.end))
        return hours.make(
            zone=self.time_zone,
            first_date=self.first_date,
            last_date=self.last_date,
            weekly=weekly,
            holidays=[
                hours.Holiday(date=day.date, yearly=day.yearly, ranges=tuple((a, b) for a, b in day.hours))
                for day in holidays
            ],
        )


class CalendarRange(models.Model):
    """One stretch of working hours, half-open ``[start, end)``, in minutes since midnight on the wall clock."""

    calendar = models.ForeignKey(Calendar, models.CASCADE, related_name="ranges")
    weekday = models.PositiveSmallIntegerField(_("weekday"), choices=Weekday.choices)
    start = MinuteField(_("from"))
    end = MinuteField(_("to"), help_text=_("24:00 is the end of the day."))

    class Meta:
        verbose_name = _("working hours")
        verbose_name_plural = _("working hours")
        ordering: ClassVar = ["weekday", "start"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(start__gte=0) & Q(start__lt=F("end")) & Q(end__lte=hours.DAY),
                name="calendar_range_forward",
                violation_error_message=_("“To” must be later than “from”, and at most 24:00."),
            ),
            models.CheckConstraint(condition=Q(weekday__range=(1, 7)), name="calendar_range_weekday"),
        ]

    def clean(self) -> None:
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ValidationError({"end": _("“To” must be later than “from”, and at most 24:00.")})

    def __str__(self) -> str:
        return f"{self.get_weekday_display()} {clock_text(self.start)}–{clock_text(self.end)}"


class Holiday(models.Model):
    """A day with hours of its own; without any it is closed all day."""

    calendar = models.ForeignKey(Calendar, models.CASCADE, related_name="holidays")
    date = models.DateField(_("date"))
    name = models.CharField(_("name"), max_length=120)
    yearly = models.BooleanField(_("every year"), default=False)
    hours = MinuteRangesField(
        _("hours"), blank=True, default=list, help_text=_("A short day, for example 09:00-13:00. Empty: closed.")
    )

    class Meta:
        verbose_name = _("holiday")
        verbose_name_plural = _("holidays")
        ordering: ClassVar = ["date"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["calendar", "date", "yearly"],
                name="calendar_holiday_once",
                violation_error_message=_("This calendar has a holiday on that date already."),
            )
        ]

    def __str__(self) -> str:
        return f"{self.date} {self.name}"


class Gateway(models.Model):
    """Outgoing lines: a trunk of the switch with a number of lines that all campaigns share and never exceed."""

    name = models.CharField(
        _("name"),
        max_length=64,
        unique=True,
        validators=[RegexValidator(r"\A[A-Za-z0-9_.-]+\Z", _("Letters, digits, “_”, “.” and “-” only."))],
        help_text=_("As the switch calls it."),
    )
    dial_string = models.CharField(
        _("dial string"),
        max_length=200,
        default="sofia/gateway/{gateway}/{number}",
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9_./@:-]*(\{gateway\}[A-Za-z0-9_./@:-]*)?\{number\}[A-Za-z0-9_./@:-]*\Z",
                _("An endpoint of the switch with {number}, and optionally {gateway} before it."),
            )
        ],
    )
    capacity = models.PositiveIntegerField(_("capacity"), default=30, help_text=_("Simultaneous calls, all campaigns."))
    enabled = models.BooleanField(_("enabled"), default=True)
    blocked_until = models.DateTimeField(_("no calls until"), null=True, blank=True, editable=False)
    block_step = models.PositiveSmallIntegerField(default=0, editable=False)
    blocked_reason = models.CharField(_("why"), max_length=200, blank=True, editable=False)

    class Meta:
        verbose_name = _("gateway")
        verbose_name_plural = _("gateways")
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Strategy(models.TextChoices):
    """Who among equally tiered free operators gets the call."""

    LONGEST_IDLE = "longest_idle", _("Longest idle")
    FEWEST_CALLS = "fewest_calls", _("Fewest calls")
    LEAST_TALK = "least_talk", _("Least talk time")
    RANDOM = "random", _("Random")


class ConnectOrder(models.TextChoices):
    """Whose phone rings first."""

    OPERATOR_FIRST = "operator_first", _("Operator first")
    SUBSCRIBER_FIRST = "subscriber_first", _("Subscriber first")


class WaitingSound(models.TextChoices):
    """What whoever answered first hears until the other does."""

    RINGBACK = "ringback", _("Ringback tone")
    MUSIC = "music", _("Hold music")
    SILENCE = "silence", _("Silence")


class ZoneFromNumber(models.TextChoices):
    """What the number of a subscriber without a time zone of his own says of it."""

    OFF = "off", _("Off: the calendar's time zone")
    INTERSECTION = "intersection", _("All zones that it may be in must be open")
    CALENDAR = "calendar", _("Its zone when it tells one, else the calendar's")


class CampaignState(models.TextChoices):
    """The life of a campaign; ``CAMPAIGN_EDGES`` says which change may follow which."""

    IDLE = "idle", _("Idle")
    RUNNING = "running", _("Running")
    SLEEPING = "sleeping", _("Sleeping")
    STOPPING = "stopping", _("Stopping")
    STOPPED = "stopped", _("Stopped")
    COMPLETED = "completed", _("Completed")


ACTIVE_STATES = (CampaignState.RUNNING, CampaignState.SLEEPING)
"""The states in which the dial loop looks at a campaign."""

CAMPAIGN_EDGES: dict[CampaignState, frozenset[CampaignState]] = {
    CampaignState.IDLE: frozenset({CampaignState.RUNNING}),
    CampaignState.RUNNING: frozenset({CampaignState.SLEEPING, CampaignState.STOPPING, CampaignState.COMPLETED}),
    CampaignState.SLEEPING: frozenset({CampaignState.RUNNING, CampaignState.STOPPING, CampaignState.COMPLETED}),
    CampaignState.STOPPING: frozenset({CampaignState.RUNNING, CampaignState.STOPPED}),
    CampaignState.STOPPED: frozenset({CampaignState.RUNNING}),
    CampaignState.COMPLETED: frozenset({CampaignState.RUNNING}),
}
"""From a state to those that may follow it."""


class Completion(models.TextChoices):
    """Why a campaign ended by itself."""

    LIST_COMPLETE = "LIST_COMPLETE", _("Everyone is processed")
    CALENDAR_EXPIRED = "CALENDAR_EXPIRED", _("The calendar has ended")
    NOTHING_TO_DIAL = "NOTHING_TO_DIAL", _("Nobody left can be dialled")


LONGEST_GRACE = 366 * 24 * 3600
"""Seconds that a call back waits for its own operator at most."""
LONGEST_EXTENSION = 3600
"""Seconds by which a wrap-up is extended at most, in all."""


class CampaignQuerySet(models.QuerySet["Campaign"]):
    def active(self) -> CampaignQuerySet:
        """Those that the dial loop looks at: running or sleeping."""
        return self.filter(state__in=ACTIVE_STATES)


class Campaign(models.Model):
    """A list to dial and the rules to dial it by. Times are in seconds."""

    class Type(models.TextChoices):
        PROGRESSIVE = "progressive", _("Progressive Dialer")

    name = models.CharField(_("name"), max_length=120, unique=True)
    type = models.CharField(_("type"), max_length=20, choices=Type.choices, default=Type.PROGRESSIVE, editable=False)
    calendar = models.ForeignKey(Calendar, models.PROTECT, related_name="campaigns", verbose_name=_("calendar"))
    priority = models.IntegerField(_("priority"), default=0, help_text=_("Bigger is served first."))

    limit = models.PositiveIntegerField(
        _("limit"), default=30, help_text=_("Simultaneous outgoing lines of this campaign.")
    )
    retry_wait = models.PositiveIntegerField(_("wait between retries"), default=60, help_text=_("Seconds."))
    max_retries = models.PositiveIntegerField(
        _("maximum number of retry"), default=5, validators=[MinValueValidator(1)],
        help_text=_("Counted attempts on one subscriber, all numbers together."),
    )  # fmt: skip
    min_duration = models.PositiveIntegerField(
        _("minimum succeed call duration"), default=10, help_text=_("Seconds of talk; less is not a success.")
    )
    wait_for_result = models.BooleanField(
        _("waiting for result status"), default=False, help_text=_("Only a reported result makes a call a success.")
    )
    wrap_up_time = models.PositiveIntegerField(
        _("wrap up time"), default=60, help_text=_("Seconds that a result may take after the end of the call.")
    )
    originate_timeout = models.PositiveIntegerField(
        _("originate timeout"), default=60, validators=[MinValueValidator(1), MaxValueValidator(600)],
        help_text=_("Seconds that the subscriber's phone rings, unless the route says otherwise."),
    )  # fmt: skip
    variables = VariablesField(_("variables"), blank=True, default=dict)
    connect_order = models.CharField(
        _("connect order"),
        max_length=20,
        choices=ConnectOrder.choices,
        default=ConnectOrder.OPERATOR_FIRST,
        help_text=_("Operator first: nobody who answers ever waits."),
    )
    answer_window = models.PositiveSmallIntegerField(
        _("answer window"), default=10, validators=[MinValueValidator(2), MaxValueValidator(60)],
        help_text=_("Subscriber first: seconds from his answer in which an operator must take the call."),
    )  # fmt: skip
    waiting_sound = models.CharField(
        _("waiting sound"), max_length=10, choices=WaitingSound.choices, default=WaitingSound.RINGBACK,
        help_text=_("What whoever answered first hears until the other does."),
    )  # fmt: skip
    abandon_message = models.CharField(
        _("abandonment message"), max_length=200, blank=True, validators=[check_sound_file],
        help_text=_("Subscriber first: a sound file of the switch, played when no operator took the call."),
    )  # fmt: skip
    abandonment_cap = models.DecimalField(
        _("abandonment cap"), max_digits=4, decimal_places=1, default=Decimal("3.0"),
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text=_("Percent of answered calls, in 30 days. Over it the campaign rings the operator first."),
    )  # fmt: skip
    operator_first_until = models.DateTimeField(null=True, editable=False)
    """Too many were abandoned: until then, at least, it rings the operator first."""
    record = models.BooleanField(_("record"), default=False, help_text=_("Record each conversation."))
    strategy = models.CharField(
        _("operator choice"), max_length=20, choices=Strategy.choices, default=Strategy.LONGEST_IDLE
    )
    caller_id = models.CharField(
        _("caller id"), max_length=32, blank=True, validators=[RegexValidator(r"\A\+?[0-9*#]*\Z", _("Digits only."))]
    )
    default_region = models.CharField(
        _("default region"), max_length=2, blank=True, default="", validators=[check_region],
        help_text=_(
            "The country, as UA, whose numbers are written without “+” and code: numbers are made international "
            "(+380501234567), and what cannot be a number is refused. Empty: they stay as typed. "
            "A change holds for new numbers alone."
        ),
    )  # fmt: skip
    zone_from_number = models.CharField(
        _("time zone from the number"), max_length=12, choices=ZoneFromNumber.choices, default=ZoneFromNumber.OFF,
        help_text=_(
            "For subscribers without a time zone of their own, by their first number that begins with “+”. One that "
            "may be in several zones: all of them must be open, or the calendar's zone counts. "
            "A change reaches those who are there already within minutes."
        ),
    )  # fmt: skip
    zoned_by = models.CharField(max_length=12, default=ZoneFromNumber.OFF, editable=False)
    """The value of ``zone_from_number`` by which all subscribers have their zones."""
    error_stops_number_only = models.BooleanField(
        _("an error cause stops only the number"), default=False,
        help_text=_("Off: an error cause ends the subscriber at once."),
    )  # fmt: skip
    minus_limit = models.PositiveIntegerField(
        _("minus causes in a row"), default=20,
        help_text=_("After so many one is counted, so that a list can end. 0: never."),
    )  # fmt: skip
    wrap_up_until_result = models.BooleanField(
        _("operator waits for the result"), default=False,
        help_text=_("The operator stays in wrap-up until the result is in or its time is over."),
    )  # fmt: skip
    script = models.TextField(
        _("script"), blank=True, default="", validators=[MaxLengthValidator(10_000), check_placeholders],
        help_text=_("What operators read to the subscriber. {name}, {number} or a variable in braces is filled in."),
    )  # fmt: skip
    desk_links = models.JSONField(
        _("links"), blank=True, default=list, validators=[check_links],
        help_text=_("Up to ten links beside each call: a name, and an address with {placeholders} in its path."),
    )  # fmt: skip
    call_back_grace = models.PositiveIntegerField(
        _("grace of a call back"), default=3600, validators=[MaxValueValidator(LONGEST_GRACE)],
        help_text=_("Seconds that an operator's own call back waits for him; then any operator may get it."),
    )  # fmt: skip
    wrap_up_extension = models.PositiveIntegerField(
        _("extension of the wrap-up"), default=120, validators=[MaxValueValidator(LONGEST_EXTENSION)],
        help_text=_("Seconds by which an operator may extend his wrap-up and the time for the result. 0: not at all."),
    )  # fmt: skip

    coaching_shown = models.BooleanField(
        _("tell the operator"), default=True,
        help_text=_("The operator sees that a supervisor listens. One who speaks to both is always shown."),
    )  # fmt: skip

    state = models.CharField(
        _("state"), max_length=10, choices=CampaignState.choices, default=CampaignState.IDLE, editable=False
    )
    state_since = models.DateTimeField(null=True, editable=False)
    completion = models.CharField(max_length=20, choices=Completion.choices, blank=True, default="", editable=False)
    completion_left = models.PositiveIntegerField(
        default=0, editable=False, help_text=_("Subscribers that could not be dialled when it completed.")
    )
    sleeping_until = models.DateTimeField(null=True, editable=False)

    objects = CampaignQuerySet.as_manager()
    causes: RelatedManager[CauseRule]
    dispositions: RelatedManager[Disposition]

    class Meta:
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        ordering: ClassVar = ["-priority", "name"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(max_retries__gte=1), name="campaign_max_retries_positive"),
            models.CheckConstraint(condition=Q(originate_timeout__range=(1, 600)), name="campaign_originate_timeout"),
            models.CheckConstraint(condition=Q(answer_window__range=(2, 60)), name="campaign_answer_window"),
            models.CheckConstraint(condition=Q(connect_order__in=ConnectOrder.values), name="campaign_order_known"),
            models.CheckConstraint(
                condition=Q(zone_from_number__in=ZoneFromNumber.values), name="campaign_zoning_known"
            ),
            models.CheckConstraint(condition=Q(abandonment_cap__range=(0, 100)), name="campaign_abandonment_cap"),
            models.CheckConstraint(condition=Q(state__in=CampaignState.values), name="campaign_state_known"),
            models.CheckConstraint(
                condition=Q(state=CampaignState.COMPLETED, completion__in=Completion.values)
                | (~Q(state=CampaignState.COMPLETED) & Q(completion="")),
                name="campaign_completed_for_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Treatment(models.TextChoices):
    """What a hangup cause of a call that was never bridged means for the subscriber."""

    ERROR = "error", _("Error")
    RETRY = "retry", _("Retry")
    OK = "ok", _("OK")
    MINUS = "minus", _("Minus")


DEFAULT_CAUSES: dict[str, Treatment] = {
    cause: treatment
    for treatment, causes in {
        Treatment.ERROR: (
            "UNALLOCATED_NUMBER", "NO_ROUTE", "INVALID_NUMBER_FORMAT", "OUTGOING_CALL_BARRED",
            "SERVICE_NOT_IMPLEMENTED", "INCOMPATIBLE_DESTINATION", "MANDATORY_IE_MISSING",
        ),
        Treatment.RETRY: (
            "NO_ROUTE_DESTINATION", "DESTINATION_OUT_OF_ORDER", "USER_BUSY", "CALL_REJECTED", "NO_USER_RESPONSE",
            "NO_ANSWER", "SUBSCRIBER_ABSENT", "NUMBER_CHANGED", "NORMAL_UNSPECIFIED", "NORMAL_CIRCUIT_CONGESTION",
            "ORIGINATOR_CANCEL", "LOSE_RACE", "USER_NOT_REGISTERED", "PROGRESS_TIMEOUT", "RECOVERY_ON_TIMER_EXPIRE",
        ),
        Treatment.OK: ("NORMAL_CLEARING",),
        Treatment.MINUS: (
            "NORMAL_TEMPORARY_FAILURE", "NETWORK_OUT_OF_ORDER", "GATEWAY_DOWN", "SERVICE_UNAVAILABLE",
            "SWITCH_CONGESTION",
        ),
    }.items()
    for cause in causes
}  # fmt: skip
"""What a new campaign makes of the hangup causes."""


class CauseRule(models.Model):
    """One hangup cause and its treatment in a campaign. A cause that is not listed is a Retry."""

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="causes")
    cause = models.CharField(
        _("cause"), max_length=64,
        validators=[RegexValidator(r"\A[A-Z][A-Z0-9_]*\Z", _("A hangup cause, as USER_BUSY."))],
    )  # fmt: skip
    treatment = models.CharField(_("treatment"), max_length=10, choices=Treatment.choices)

    class Meta:
        verbose_name = _("cause")
        verbose_name_plural = _("causes")
        ordering: ClassVar = ["treatment", "cause"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["campaign", "cause"],
                name="cause_in_one_treatment",
                violation_error_message=_("This cause has a treatment in this campaign already."),
            ),
            models.CheckConstraint(condition=Q(treatment__in=Treatment.values), name="cause_treatment_known"),
        ]

    def __str__(self) -> str:
        return f"{self.cause}: {self.get_treatment_display()}"


class Meaning(models.TextChoices):
    """What a disposition says of the call."""

    SUCCESS = "success", _("Success")
    FAILURE = "failure", _("Failure")
    CALL_BACK = "call_back", _("Call back")
    DO_NOT_CALL = "do_not_call", _("Do not call")


class Colour(models.TextChoices):
    """The tones of the pages that a disposition may have."""

    GOOD = "good", _("Green")
    TALK = "talk", _("Blue")
    HELD = "held", _("Cyan")
    WRAP = "wrap", _("Violet")
    WARN = "warn", _("Amber")
    BREAK = "break", _("Orange")
    BAD = "bad", _("Red")
    OFF = "off", _("Grey")


MEANING_COLOURS: dict[str, Colour] = {
    Meaning.SUCCESS: Colour.GOOD,
    Meaning.FAILURE: Colour.BAD,
    Meaning.CALL_BACK: Colour.TALK,
    Meaning.DO_NOT_CALL: Colour.OFF,
}
"""The colour of a disposition that has none of its own."""


class Requirement(models.TextChoices):
    """Fields of a result that a disposition may ask for."""

    COMMENT = "comment", _("Comment")
    NEXT_COMMUNICATION = "next_communication", _("Next number")
    CALL_BACK_AT = "call_back_at", _("Date and time")


class Stop(models.TextChoices):
    """Numbers of the subscriber that are called no more."""

    NOTHING = "", _("No number")
    NUMBER = "number", _("The number that was called")
    ALL = "all", _("All numbers")


MEANING_FIELDS: dict[str, frozenset[str]] = {
    Meaning.SUCCESS: frozenset(),
    Meaning.FAILURE: frozenset({"wait", "stop", "reset_retries"}),
    Meaning.CALL_BACK: frozenset({"wait", "reset_retries"}),
    Meaning.DO_NOT_CALL: frozenset(),
}
"""Which settings say something for a meaning; the others stay empty."""

MEANING_REQUIREMENTS: dict[str, frozenset[str]] = {
    Meaning.SUCCESS: frozenset({Requirement.COMMENT}),
    Meaning.FAILURE: frozenset({Requirement.COMMENT, Requirement.NEXT_COMMUNICATION}),
    Meaning.CALL_BACK: frozenset(Requirement),
    Meaning.DO_NOT_CALL: frozenset({Requirement.COMMENT}),
}
"""Which fields of a result may be asked for by a meaning: a success ignores all others but the comment."""

LONGEST_WAIT = 366 * 24 * 3600
"""Seconds until the next call at most."""


DEFAULT_DISPOSITIONS: tuple[dict[str, Any], ...] = (
    {"name": _("Success"), "meaning": Meaning.SUCCESS, "hotkey": "1"},
    {"name": _("Call back"), "meaning": Meaning.CALL_BACK, "hotkey": "2", "requires": [Requirement.CALL_BACK_AT]},
    {"name": _("Not interested"), "meaning": Meaning.FAILURE, "hotkey": "3", "stop": Stop.ALL},
    {"name": _("Wrong number"), "meaning": Meaning.FAILURE, "hotkey": "4", "stop": Stop.NUMBER, "colour": Colour.WARN},
    {"name": _("Do not call"), "meaning": Meaning.DO_NOT_CALL, "hotkey": "9"},
)
"""Dispositions that fit most campaigns; they are added, named in the reader's language, when somebody asks for them."""


class Disposition(models.Model):
    """What an operator says of a call by one word: a campaign's name for a result, and the fields it stands for."""

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="dispositions", verbose_name=_("campaign"))
    name = models.CharField(_("name"), max_length=60)
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    meaning = models.CharField(_("meaning"), max_length=12, choices=Meaning.choices)
    colour = models.CharField(
        _("colour"), max_length=5, choices=Colour.choices, blank=True, default="", help_text=_("Empty: by the meaning.")
    )
    hotkey = models.CharField(
        _("hotkey"), max_length=1, blank=True, default="",
        validators=[RegexValidator(r"\A[1-9a-z]?\Z", _("A digit from 1 to 9 or a small Latin letter."))],
    )  # fmt: skip
    requires = ArrayField(
        models.CharField(max_length=20, choices=Requirement.choices), verbose_name=_("asks for"),
        blank=True, default=list,
    )  # fmt: skip
    wait = models.PositiveIntegerField(
        _("wait"), null=True, blank=True, validators=[MaxValueValidator(LONGEST_WAIT)],
        help_text=_("Seconds until the next call. Empty: the campaign's wait between retries."),
    )  # fmt: skip
    stop = models.CharField(
        _("stops"), max_length=6, choices=Stop.choices, blank=True, default=Stop.NOTHING,
        help_text=_("Numbers that are called no more."),
    )  # fmt: skip
    reset_retries = models.BooleanField(
        _("resets the retries"), default=False, help_text=_("The subscriber's attempts are counted anew.")
    )
    archived = models.BooleanField(
        _("archived"), default=False, help_text=_("Not offered any more, kept for the calls that have it.")
    )

    class Meta:
        verbose_name = _("disposition")
        verbose_name_plural = _("dispositions")
        ordering: ClassVar = ["position", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["campaign", "name"],
                name="disposition_name_once",
                violation_error_message=_("This campaign has a disposition of that name already."),
            ),
            models.UniqueConstraint(
                fields=["campaign", "hotkey"],
                condition=~Q(hotkey="") & Q(archived=False),
                name="disposition_hotkey_once",
                violation_error_message=_("Another disposition of this campaign has that hotkey."),
            ),
            models.CheckConstraint(condition=~Q(name=""), name="disposition_named"),
            models.CheckConstraint(condition=Q(meaning__in=Meaning.values), name="disposition_meaning_known"),
            models.CheckConstraint(condition=Q(colour__in=["", *Colour.values]), name="disposition_colour_known"),
            models.CheckConstraint(condition=Q(hotkey__regex=r"^[1-9a-z]?$"), name="disposition_hotkey_a_key"),
            models.CheckConstraint(
                condition=Q(requires__contained_by=Requirement.values), name="disposition_requires_known"
            ),
            models.CheckConstraint(condition=Q(stop__in=Stop.values), name="disposition_stop_known"),
            models.CheckConstraint(
                condition=Q(meaning__in=[Meaning.FAILURE, Meaning.CALL_BACK])
                | Q(wait__isnull=True, reset_retries=False),
                name="disposition_next_call",
            ),
            models.CheckConstraint(condition=Q(meaning=Meaning.FAILURE) | Q(stop=""), name="disposition_stops"),
            models.CheckConstraint(
                condition=Q(meaning=Meaning.CALL_BACK) | ~Q(requires__contains=[Requirement.CALL_BACK_AT]),
                name="disposition_asks_when",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def tone(self) -> str:
        """Its colour as the pages name it: its own, or that of its meaning."""
        return self.colour or MEANING_COLOURS[self.meaning]


class Route(models.Model):
    """Which gateway dials a number, and how. A campaign's own routes come before the common ones, each by position."""

    campaign = models.ForeignKey(
        Campaign, models.CASCADE, related_name="routes", null=True, blank=True, verbose_name=_("campaign"),
        help_text=_("Empty: for all campaigns."),
    )  # fmt: skip
    position = models.IntegerField(_("position"), default=0)
    name = models.CharField(_("name"), max_length=120, blank=True)
    pattern = models.CharField(
        _("pattern"), max_length=200, default="", blank=True,
        validators=[
            RegexValidator(
                r"\A[0-9*#^$.\[\](){}|?+,\\d-]*\Z", _("Digits, *, # and the signs of a regular expression only.")
            ),
            check_pattern,
        ],
        help_text=_("Regular expression on the digits without “+”, for example ^380. Empty: every number."),
    )  # fmt: skip
    gateway = models.ForeignKey(Gateway, models.PROTECT, related_name="routes", verbose_name=_("gateway"))
    strip = models.PositiveSmallIntegerField(_("strip"), default=0, help_text=_("Leading characters taken away."))
    prepend = models.CharField(
        _("prepend"), max_length=16, blank=True, validators=[RegexValidator(r"\A\+?[0-9*#]*\Z", _("Digits only."))]
    )
    caller_id = models.CharField(
        _("caller id"), max_length=32, blank=True, validators=[RegexValidator(r"\A\+?[0-9*#]*\Z", _("Digits only."))]
    )
    variables = VariablesField(
        _("variables"), blank=True, default=dict, allow=("call_timeout",), validators=[check_call_timeout],
        help_text=_("call_timeout: seconds that the phone rings."),
    )  # fmt: skip
    enabled = models.BooleanField(_("enabled"), default=True)

    class Meta:
        verbose_name = _("route")
        verbose_name_plural = _("routes")
        ordering: ClassVar = ["campaign", "position", "id"]

    def __str__(self) -> str:
        return self.name or f"{self.pattern or '*'} → {self.gateway}"

    @property
    def call_timeout(self) -> int | None:
        """Seconds that a phone rings on this route; ``None``: as long as the campaign says."""
        value = self.variables.get("call_timeout")
        return None if value is None else int(value)


class AllowedVariable(models.Model):
    """A channel variable that the switch itself reads and that an administrator lets lists and campaigns set."""

    name = models.CharField(
        _("name"), max_length=64, unique=True,
        validators=[RegexValidator(r"\A[A-Za-z_][A-Za-z0-9_]{0,63}\Z", _("A variable name."))],
    )  # fmt: skip

    class Meta:
        verbose_name = _("allowed variable")
        verbose_name_plural = _("allowed variables")
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name
