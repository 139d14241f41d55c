"""Load a call centre to look at: three campaigns, thirteen operators, more than five hundred subscribers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from agents import actions as agents
from agents.models import Operator, OperatorStatus, Tier
from campaigns import actions as campaigns
from campaigns import hours
from campaigns.models import (
    Calendar,
    CalendarRange,
    Campaign,
    Gateway,
    Meaning,
    Requirement,
    Route,
    Stop,
    Weekday,
)
from members.resources import load_csv

FILES = Path(__file__).resolve().parent.parent.parent / "demo"
"""Subscribers who do not exist, at numbers that telephone authorities keep free for fiction or never assign."""

CALENDAR = "Day and night"
OPERATORS = {
    "1001": "Оксана Гнатів",
    "1002": "Тарас Вербицький",
    "1003": "Ірина Дубовик",
    "1004": "Максим Сорока",
    "1005": "Наталія Криницька",
    "1006": "Роман Щерба",
    "1007": "Emma Castle",
    "1008": "Соломія Береза",
    "1009": "Jonas Feldmann",
    "1010": "Юлія Заграй",
    "1011": "Claire Montagnier",
    "1012": "Богдан Явір",
}
DESK = ("1013", "Дарина Крук")
"""Who works at the desk: nobody takes the calls of that campaign but who logs in as her."""
# Lines, by what the numbers begin with: fewer than the limits of both campaigns together.
GATEWAYS = {"kyiv-trunk": (7, "^380"), "world-trunk": (5, "")}
# A newcomer should see every kind of thing within seconds: short waits, few tries.
PACE = {"retry_wait": 30, "max_retries": 2, "min_duration": 5, "originate_timeout": 15}


def _first_line(extension: str) -> int:
    """The first eight take renewals first, the last eight surveys; who is in both is on the second line there."""
    return 1 if extension <= "1008" else 2


def _last_line(extension: str) -> int:
    return 1 if extension >= "1005" else 2


CAMPAIGNS: dict[str, dict[str, Any]] = {
    "Contract renewals": {
        "file": "renewals.csv",
        "level": _first_line,
        "fields": {"priority": 20, "limit": 8, "caller_id": "+380440001000", "variables": {"queue": "renewals"}},
    },
    "Customer survey": {
        "file": "survey.csv",
        "level": _last_line,
        "fields": {"priority": 10, "limit": 10, "caller_id": "+380440002000", "variables": {"queue": "survey"}},
    },
}


WELCOME = "Welcome calls"
OF_DESK: dict[str, Any] = {
    "priority": 30, "limit": 2, "caller_id": "+380440003000", "variables": {"queue": "welcome"},
    "wait_for_result": True, "wrap_up_time": 60, "wrap_up_until_result": True,
    "script": (
        "Good afternoon, {name}! This is {operator} of the demo company.\n\n"
        "You have been with us since {joined_on}, on the plan {plan}. Is everything as you expected?\n\n"
        "If not: note what is missing, and offer a call by our technician in {city}."
    ),
    "desk_links": [{"name": "Customer", "url": "https://crm.example/customers/{external_id}"}],
}  # fmt: skip
DISPOSITIONS: tuple[dict[str, Any], ...] = (
    {"name": "Content", "meaning": Meaning.SUCCESS, "hotkey": "1"},
    {"name": "Wants a technician", "meaning": Meaning.SUCCESS, "hotkey": "2", "requires": [Requirement.COMMENT]},
    {"name": "Call back", "meaning": Meaning.CALL_BACK, "hotkey": "3", "requires": [Requirement.CALL_BACK_AT]},
    {"name": "No time now", "meaning": Meaning.FAILURE, "hotkey": "4", "wait": 60},
    {"name": "Wrong number", "meaning": Meaning.FAILURE, "hotkey": "5", "stop": Stop.NUMBER},
    {"name": "Wants no calls", "meaning": Meaning.DO_NOT_CALL, "hotkey": "6"},
)


class Command(BaseCommand):
    help = (
        "Load a demo: a calendar that is always open, campaigns that share gateways, operators and subscribers, and "
        "start it. What is there already stays as it is."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            calendar = self.calendar()
            self.lines()
            operators = self.operators()
            for name, plan in CAMPAIGNS.items():
                self.campaign(name, calendar, operators, plan)
            self.desk(calendar)
        for operator in operators:
            if operator.status_since is None:  # nobody has chosen a status for him yet
                agents.set_status(operator.pk, OperatorStatus.AVAILABLE, reason="demo")
        for campaign in Campaign.objects.filter(name__in=[*CAMPAIGNS, WELCOME]).order_by("-priority"):
            answer = campaigns.run(campaign.pk)
            if options["verbosity"]:
                self.stdout.write(f"{campaign}: {answer.label}")

    def calendar(self) -> Calendar:
        calendar, is_new = Calendar.objects.get_or_create(name=CALENDAR, defaults={"time_zone": "Europe/Kyiv"})
        if is_new:
            CalendarRange.objects.bulk_create(
                CalendarRange(calendar=calendar, weekday=weekday, start=0, end=hours.DAY) for weekday in Weekday
            )
            campaigns.check_calendar(calendar.pk)
        return calendar

    def lines(self) -> None:
        for position, (name, (capacity, pattern)) in enumerate(GATEWAYS.items(), start=1):
            gateway, is_new = Gateway.objects.get_or_create(name=name, defaults={"capacity": capacity})
            if is_new:
                Route.objects.create(position=position, pattern=pattern, gateway=gateway)
                campaigns.route_changed(None)

    def operators(self) -> list[Operator]:
        there = {operator.extension: operator for operator in Operator.objects.filter(extension__in=OPERATORS)}
        return [
            there.get(extension) or agents.create_operator(name=name, extension=extension, wrap_up_time=6)
            for extension, name in OPERATORS.items()
        ]

    def desk(self, calendar: Calendar) -> None:
        """Load the campaign whose operator works at the desk; he gets a user by ``manage.py run``."""
        extension, name = DESK
        operator = Operator.objects.filter(extension=extension).first()
        operator = operator or agents.create_operator(name=name, extension=extension)
        plan = {"file": "welcome.csv", "level": lambda _extension: 1, "fields": OF_DESK}
        if campaign := self.campaign(WELCOME, calendar, [operator], plan):
            campaigns.set_dispositions(campaign.pk, DISPOSITIONS)

    def campaign(
        self, name: str, calendar: Calendar, operators: list[Operator], plan: dict[str, Any]
    ) -> Campaign | None:
        """Load a campaign with its list and operators; ``None``: it is there already."""
        if Campaign.objects.filter(name=name).exists():
            return None
        campaign = campaigns.create_campaign(name=name, calendar=calendar, **PACE, **plan["fields"])
        Tier.objects.bulk_create(
            Tier(campaign=campaign, operator=operator, level=plan["level"](operator.extension), position=position)
            for position, operator in enumerate(operators, start=1)
        )
        load_csv(campaign, (FILES / plan["file"]).read_text(encoding="utf-8"))
        return campaign
