"""Load a call centre to look at: two campaigns, twelve operators, five hundred subscribers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from agents import actions as agents
from agents.models import Operator, OperatorStatus, Tier
from campaigns import actions as campaigns
from campaigns import hours
from campaigns.models import Calendar, CalendarRange, Campaign, Gateway, Route, Weekday
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


class Command(BaseCommand):
    help = (
        "Load a demo: a calendar that is always open, two campaigns that share gateways, 12 operators and 500 "
        "subscribers, and start it. What is there already stays as it is."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            calendar = self.calendar()
            self.lines()
            operators = self.operators()
            for name, plan in CAMPAIGNS.items():
                self.campaign(name, calendar, operators, plan)
        for operator in operators:
            if operator.status_since is None:  # nobody has chosen a status for him yet
                agents.set_status(operator.pk, OperatorStatus.AVAILABLE, reason="demo")
        for campaign in Campaign.objects.filter(name__in=CAMPAIGNS).order_by("-priority"):
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

    def campaign(self, name: str, calendar: Calendar, operators: list[Operator], plan: dict[str, Any]) -> None:
        if Campaign.objects.filter(name=name).exists():
            return
        campaign = campaigns.create_campaign(name=name, calendar=calendar, **PACE, **plan["fields"])
        Tier.objects.bulk_create(
            Tier(campaign=campaign, operator=operator, level=plan["level"](operator.extension), position=position)
            for position, operator in enumerate(operators, start=1)
        )
        load_csv(campaign, (FILES / plan["file"]).read_text(encoding="utf-8"))
