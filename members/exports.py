"""Subscribers and what came of them, as files.

What is written can be loaded again: the headings are those of uploads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, DurationField, ExpressionWrapper, F, QuerySet, Sum
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from campaigns.models import Campaign
from dialer import exports
from dialer.exports import Column, FileAnswer, FileFormat
from dialer.models import Attempt
from members.models import Communication, Member
from members.tables import VARIABLE_COLUMN

NUMBER_COLUMN = re.compile(r"number_([1-9][0-9]?)")


@dataclass(frozen=True, slots=True)
class Exported:
    """A subscriber with what is known of his calls, as far as it was asked for."""

    member: Member
    numbers: Sequence[str] = ()
    last: Attempt | None = None
    attempts: int = 0
    talk_seconds: float = 0.0


def _of_last(read: Any) -> Any:
    return lambda row: read(row.last) if row.last else None


COLUMNS: dict[str, Column[Exported]] = {
    "member": Column(_("Subscriber's id"), lambda row: row.member.pk),
    "external_id": Column(_("External id"), lambda row: row.member.external_id),
    "name": Column(_("Name"), lambda row: row.member.name),
    "numbers": Column(_("Numbers"), lambda row: "; ".join(row.numbers)),
    "priority": Column(_("Priority"), lambda row: row.member.priority),
    "timezone": Column(_("Time zone"), lambda row: row.member.time_zone),
    "expire": Column(_("Expire"), lambda row: row.member.expire_at),
    "caller_id": Column(_("Caller id"), lambda row: row.member.caller_id),
    "variables": Column(_("Variables"), lambda row: row.member.variables),
    "created": Column(_("Added"), lambda row: row.member.created_at),
    "state": Column(_("State"), lambda row: row.member.state),
    "due": Column(_("Due"), lambda row: row.member.due_at),
    "callback": Column(_("Call-back"), lambda row: row.member.callback),
    "end_cause": Column(_("End cause"), lambda row: row.member.end_cause),
    "success": Column(_("Success"), lambda row: row.member.success),
    "ended": Column(_("Ended"), lambda row: row.member.ended_at),
    "counted": Column(_("Counted attempts"), lambda row: row.member.counted),
    "attempts": Column(_("All attempts"), lambda row: row.attempts),
    "talk_seconds": Column(_("Talk in all, seconds"), lambda row: row.talk_seconds),
    "last_attempt": Column(_("Last attempt"), _of_last(lambda last: last.pk)),
    "last_at": Column(_("Last attempt at"), _of_last(lambda last: last.reserved_at)),
    "last_dialled": Column(_("Last dialled number"), _of_last(lambda last: last.digits)),
    "last_operator": Column(_("Last operator"), _of_last(lambda last: last.operator.name)),
    "last_cause": Column(_("Last cause"), _of_last(lambda last: last.cause)),
    "last_outcome": Column(_("Last outcome"), _of_last(lambda last: last.outcome)),
    "last_talk_seconds": Column(_("Last talk, seconds"), _of_last(lambda last: last.talk_seconds)),
    "last_result": Column(_("Last result as reported"), _of_last(lambda last: last.result)),
    "last_disposition": Column(_("Last disposition"), _of_last(lambda last: last.disposition)),
    "last_comment": Column(_("Last comment"), _of_last(lambda last: last.comment)),
}
"""Those of subscribers; ``number_1`` to ``number_99`` and ``var:NAME`` are columns, too."""

DEFAULTS = tuple(
    name
    for name in COLUMNS
    if name not in {"created", "due", "callback", "attempts", "talk_seconds", "last_attempt", "last_dialled"}
)
"""The columns where none are chosen."""


def column(name: str) -> Column[Exported] | None:
    """Return a column by its name."""
    if found := NUMBER_COLUMN.fullmatch(name):
        place = int(found[1]) - 1
        title = gettext("Number %d") % (place + 1)
        return Column(
            title, lambda row: row.numbers[place] if place < len(row.numbers) else None
        )  # fmt: skip
    if found := VARIABLE_COLUMN.fullmatch(name):
        variable = found[1]
        return Column(gettext("Variable %s") % variable, lambda row: row.member.variables.get(variable))
    return COLUMNS.get(name)


def members(
    campaign: Campaign, found: QuerySet[Member], *, columns: Sequence[str] = (),
    file_format: str = FileFormat.CSV, zone: str = "",
) -> FileAnswer:  # fmt: skip
    """Return subscribers of a campaign as a file, in the order of entry.

    ``zone`` is that of all instants; empty: the calendar's. Raises ``ValidationError`` at ``columns``, ``format`` or
    ``zone``.
    """
    chosen = exports.choose(columns or DEFAULTS, column, ", ".join([*COLUMNS, "number_1 …", "var:NAME"]))
    with_numbers = any(name.startswith("number") for name in chosen)
    with_last = any(name.startswith("last_") for name in chosen)
    with_sums = bool({"attempts", "talk_seconds"} & set(chosen))

    def load(ids: Sequence[int]) -> Iterable[Exported]:
        numbers = _numbers(ids) if with_numbers else {}
        last = _last(ids) if with_last else {}
        sums = _sums(ids) if with_sums else {}
        for member in Member.objects.filter(pk__in=ids).order_by("pk"):
            made, talk = sums.get(member.pk, (0, 0.0))
            yield Exported(member, numbers.get(member.pk, ()), last.get(member.pk), made, talk)

    return exports.answer(
        campaign, found, load, chosen, what=gettext("subscribers"), file_format=file_format, zone=zone
    )  # fmt: skip


def _numbers(ids: Sequence[int]) -> dict[int, list[str]]:
    """Return the numbers of each, as they were entered."""
    found: dict[int, list[str]] = {}
    # Prefetched ones would point back to their subscribers: rings, which are freed late.
    those = Communication.objects.filter(member__in=ids).order_by("pk")
    for member, number in those.values_list("member", "number"):
        found.setdefault(member, []).append(number)
    return found


def _last(ids: Sequence[int]) -> dict[int, Attempt]:
    """Return the last attempt of each."""
    newest = Attempt.objects.filter(member__in=ids).order_by("member", "-pk").distinct("member")
    return {attempt.member_id: attempt for attempt in newest.select_related("operator")}


def _sums(ids: Sequence[int]) -> dict[int, tuple[int, float]]:
    """Return how many attempts there were of each, and for how many seconds one talked with him."""
    talk = Sum(ExpressionWrapper(F("talk_ended_at") - F("bridged_at"), DurationField()))
    found = Attempt.objects.filter(member__in=ids).order_by().values("member").annotate(made=Count("pk"), talk=talk)
    return {
        member: (made, seconds.total_seconds() if seconds else 0.0)
        for member, made, seconds in found.values_list("member", "made", "talk")
    }
