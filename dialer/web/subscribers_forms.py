"""Forms of subscribers: which of a list are shown, one of them with his numbers and variables, his call-back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import QueryDict
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.fields import allowed_variables
from campaigns.forms import ZoneInput
from campaigns.models import Campaign
from dialer import channel_variables
from dialer.api.paging import Page, page
from dialer.errors import Refused
from dialer.web.campaign_forms import clash, seal, unseal
from members import actions, numbers
from members.api import ORDERS, in_order
from members.forms import CallbackForm
from members.models import Communication, Member, MemberState
from members.page_forms import MembersFilters, Moment, PlainSelect, dress
from members.rows import OWN_FIELDS, Faults, RowsRefused

PAGE: Final = 50
"""Subscribers of a page."""
SPARE: Final = 2
"""Empty rows for further numbers and variables, where no script adds them."""

# --- which subscribers ------------------------------------------------------------------------------------------


class SubscribersForm(MembersFilters):
    """Which subscribers of a campaign are listed, and in which order; bound to the address."""

    sort = forms.ChoiceField(
        label=gettext_lazy("order"), required=False,
        choices=[
            ("", gettext_lazy("the usual order")),
            ("-created", gettext_lazy("added last")),
            ("created", gettext_lazy("added first")),
            ("due", gettext_lazy("next call first")),
            ("-due", gettext_lazy("next call last")),
            ("-attempts", gettext_lazy("most attempts")),
            ("attempts", gettext_lazy("fewest attempts")),
            ("-ended", gettext_lazy("ended last")),
            ("ended", gettext_lazy("ended first")),
        ],
    )  # fmt: skip

    def __init__(self, campaign: Campaign, given: Any, user: Any) -> None:
        super().__init__(campaign, given)
        if not user.has_perm("agents.view_operator"):
            del self.fields["operator"]
        dress(self)
        for name in {"operator", "upload", "called_in"} & set(self.fields):
            self.fields[name].widget.attrs["data-search"] = ""
        for name in ("due_from", "due_before", "ended_from", "ended_before"):
            self.fields[name].help_text = campaign.calendar.time_zone
        self.fields["end_cause"].widget.attrs["list"] = "causes"

    @property
    def order(self) -> str:
        """The order that is asked for, or that suits what is asked for."""
        given = self.cleaned_data
        if chosen := given.get("sort"):
            return str(chosen)
        if given.get("due") or given.get("due_from") or given.get("due_before"):
            return "due"
        if given.get("state") == MemberState.ENDED or given.get("ended_from") or given.get("ended_before"):
            return "-ended"
        return "-created"

    def page(self, user: Any, cursor: str | None) -> Page:
        """Return one page of those who are asked for. Raises ``serializers.ValidationError`` for no cursor of ours."""
        found = in_order(self.rows(user), self.order).select_related("next_communication", "sticky_operator")
        found = found.prefetch_related("communications")
        return page(found, sort=self.order, order=ORDERS[self.order], limit=PAGE, cursor=cursor)

    @property
    def narrow(self) -> bool:
        """Whether anything is asked for, the order apart."""
        return bool(self.asked() or self.cleaned_data.get("chosen"))

    @property
    def others_asked(self) -> int:
        """How many filters say something beside those that are always open."""
        given = {name for name in self.filter_names if self.cleaned_data.get(name) not in ("", None)}
        return len(given - {"search", "state", "due"})


def without(given: QueryDict, *names: str) -> str:
    """Return an address's query without some of its parts, and without those that say nothing."""
    kept = QueryDict(mutable=True)
    for name, values in given.lists():
        if name not in names:
            kept.setlist(name, [value for value in values if value])
    return kept.urlencode()


# --- one subscriber ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class NumberRow:
    """A number as a form has it."""

    number: str = ""
    priority: str = ""
    description: str = ""
    stored: Communication | None = None
    remove: bool = False
    faults: list[str] = field(default_factory=list)
    owner: Member | None = None
    """Who has it already."""

    @property
    def is_empty(self) -> bool:
        return not (self.number or self.priority or self.description)


@dataclass(slots=True)
class VariableRow:
    """A variable as a form has it."""

    name: str = ""
    value: str = ""
    fault: str = ""


class SubscriberForm(forms.Form):
    """A subscriber by hand: what the document lists of him, with his numbers and variables as rows."""

    name = forms.CharField(label=gettext_lazy("name"), max_length=200, required=False)
    priority = forms.IntegerField(
        label=gettext_lazy("priority"), required=False, help_text=gettext_lazy("Bigger is called first.")
    )
    expire = forms.DateTimeField(label=gettext_lazy("expire"), required=False, widget=Moment)
    timezone = forms.CharField(
        label=gettext_lazy("time zone"), max_length=64, required=False, widget=ZoneInput(),
        help_text=gettext_lazy("Empty: that of his number or of the calendar."),
    )  # fmt: skip
    external_id = forms.CharField(
        label=gettext_lazy("external id"), max_length=100, required=False,
        help_text=gettext_lazy("Your own key for him; once a campaign."),
    )  # fmt: skip
    caller_id = forms.CharField(
        label=gettext_lazy("caller id"), max_length=32, required=False,
        help_text=gettext_lazy("The number that he sees, before the route's and the campaign's."),
    )  # fmt: skip
    run_after = forms.BooleanField(
        label=gettext_lazy("Run after adding members"), required=False,
        help_text=gettext_lazy("Starts the campaign once he is added."),
    )  # fmt: skip

    def __init__(self, campaign: Campaign, data: Any = None, member: Member | None = None, *, may_run: bool = False):
        self.campaign, self.member = campaign, member
        self.seen: dict[str, Any] = _kept(member) if member else {}
        super().__init__(data, initial=_shown(self.seen))
        if member or not may_run:
            del self.fields["run_after"]
        zone = campaign.calendar.time_zone
        self.fields["expire"].help_text = _("Not processed before this: no more calls. By the clock of %s.") % zone
        self.fields["caller_id"].widget.attrs["inputmode"] = "tel"
        dress(self)
        self.external_owner: Member | None = None
        self.variables_faults: list[str] = []
        if data is None:
            self._show()
        else:
            self._take(data)

    def _show(self) -> None:
        self.numbers = [
            NumberRow(str(stored), str(stored.priority), stored.description, stored)
            for stored in (self.member.communications.order_by("-priority", "pk") if self.member else ())
        ]
        known = self.seen.get("variables", {})
        self.variables = [VariableRow(name, channel_variables.as_text(value)) for name, value in sorted(known.items())]
        self._add_spare()

    def _take(self, data: Any) -> None:
        stored = {str(number.pk): number for number in (self.member.communications.all() if self.member else ())}
        gone = set(data.getlist("remove"))
        columns = [data.getlist(name) for name in ("number_id", "number", "number_priority", "number_description")]
        self.numbers = [
            NumberRow(
                str(stored[pk]) if pk in stored else number.strip(), priority.strip(), description.strip(),
                stored.get(pk), bool(pk) and pk in gone,
            )
            for pk, number, priority, description in zip(*columns, strict=False)
        ]  # fmt: skip
        pairs = zip(data.getlist("variable"), data.getlist("value"), strict=False)
        self.variables = [VariableRow(name.strip(), value.replace("\r\n", "\n")) for name, value in pairs]
        if self.member:
            try:
                self.seen = unseal(data.get("seen", ""))
            except ValidationError as error:
                self.variables_faults = error.messages

    def _add_spare(self) -> None:
        self.numbers += [NumberRow() for _spare in range(SPARE if self.numbers else SPARE + 1)]
        self.variables += [VariableRow() for _spare in range(SPARE)]

    def sealed(self) -> str:
        """Return what the form shows, for itself when it comes back."""
        return seal(self.seen)

    # What was typed is read by the rules of an upload's row, and what is wrong is told beside it.

    def add(self, by: Any) -> Member | None:
        """Add him; ``None`` with the faults shown."""
        filled = [row for row in self.numbers if not row.is_empty]
        raws = [raw for row in filled if (raw := _raw(row)) is not None]
        variables = self._variables()
        if not self.is_valid() or len(raws) < len(filled) or variables is None:
            self._check(filled)
            self._add_spare()
            return None
        own = {**self._own(), "variables": variables}
        try:
            [added] = actions.add_members(self.campaign, [{**own, "communications": raws}], by=by)
        except RowsRefused as refused:
            self._tell(refused.rows[0], filled)
            self._add_spare()
            return None
        return added

    def _check(self, filled: list[NumberRow]) -> None:
        """Tell what else is wrong with numbers, so that all of it can be mended at once."""
        for row in filled:
            if not row.faults:
                try:
                    numbers.clean(row.number, self.campaign.default_region)
                except ValueError as error:
                    row.faults.append(str(error))
        if not filled:
            self.add_error(None, _("A subscriber needs at least one number."))

    def keep(self, by: Any) -> bool:
        """Save what was changed, all of it or nothing; ``False`` with the faults shown."""
        assert self.member is not None
        variables = self._variables()
        if self.is_valid() and variables is not None and not self.variables_faults:
            self._save(self.member, {**self._own(), "variables": variables}, by)
        if self._is_faulty():
            self._add_spare()
            return False
        return True

    def _is_faulty(self) -> bool:
        rows: list[Any] = [*self.numbers, *self.variables]
        told = any(row.faults if isinstance(row, NumberRow) else row.fault for row in rows)
        return bool(told or self.errors or self.variables_faults)

    def _save(self, member: Member, mine: Mapping[str, Any], by: Any) -> None:
        changes = {name: value for name, value in mine.items() if not _same(value, self.seen[name])}
        theirs = _kept(member)
        for name, value in changes.items():
            if not _same(theirs[name], self.seen[name]) and not _same(value, theirs[name]):
                self._tell({name: [clash(_told(theirs[name]))]}, [])
                self.seen[name] = theirs[name]
        if self._is_faulty():
            return
        with transaction.atomic():
            try:
                if changes:
                    actions.update_member(member, changes, by=by)
            except RowsRefused as refused:
                self._tell(refused.rows[0], [])
            for row in self.numbers:
                self._keep_number(row, by)
            if self._is_faulty():
                transaction.set_rollback(True)

    def _keep_number(self, row: NumberRow, by: Any) -> None:
        assert self.member is not None
        if row.is_empty and row.stored is None:
            return
        raw = _raw(row)
        if raw is None:
            return
        try:
            with transaction.atomic():
                if row.stored is None:
                    actions.add_number(self.member, **raw, by=by)
                elif row.remove:
                    actions.delete_number(row.stored, by=by)
                elif (raw["priority"], raw["description"]) != (row.stored.priority, row.stored.description):
                    actions.update_number(
                        row.stored, priority=raw["priority"], description=raw["description"], by=by
                    )  # fmt: skip
        except RowsRefused as refused:
            row.faults += [told for faults in refused.rows[0].values() for told in faults]
            self._find_owner(row)
        except Refused as refusal:
            row.faults.append(refusal.message)

    def _own(self) -> dict[str, Any]:
        given = self.cleaned_data
        return {name: given[name] if name != "priority" else given[name] or 0 for name in OWN_FIELDS if name in given}

    def _variables(self) -> dict[str, Any] | None:
        """Return the variables, those that stayed as they were shown of the kind they had; ``None`` with the faults."""
        shown = {name: channel_variables.as_text(value) for name, value in self.seen.get("variables", {}).items()}
        allowed, found = allowed_variables(), {}
        for row in self.variables:
            if not (row.name or row.value):
                continue
            try:
                if not row.name:
                    raise ValueError(_("A name is missing: give it one, or remove the value."))
                if row.name in found:
                    raise ValueError(_("“%s” is there twice.") % row.name)
                channel_variables.check_name(row.name, allowed)
                channel_variables.check_value(row.name, row.value)
            except ValueError as error:
                row.fault = str(error)
            found[row.name] = self.seen["variables"][row.name] if shown.get(row.name) == row.value else row.value
        return None if any(row.fault for row in self.variables) else found

    def _tell(self, faults: Faults, filled: list[NumberRow]) -> None:
        """Tell the faults of a row at the fields that they are about, and who has already what is his alone."""
        if "external_id" in faults:
            same = Member.objects.filter(campaign=self.campaign, external_id=self.cleaned_data.get("external_id"))
            self.external_owner = (same.exclude(pk=self.member.pk) if self.member else same).first()
        for path, told in faults.items():
            place = re.match(r"communications\[(\d+)\]", path)
            if place and int(place[1]) < len(filled):
                row = filled[int(place[1])]
                row.faults += told
                self._find_owner(row)
            elif path.startswith("variables"):
                self.variables_faults += told
            else:
                for fault in told:
                    self.add_error(path if path in self.fields else None, fault)

    def _find_owner(self, row: NumberRow) -> None:
        try:
            digits = numbers.clean(row.number, self.campaign.default_region).digits
        except ValueError:
            return
        others = Communication.objects.filter(campaign=self.campaign, digits=digits).select_related("member")
        found = others.exclude(member=self.member).first()
        row.owner = found.member if found else None


def _raw(row: NumberRow) -> dict[str, Any] | None:
    """Return a number as a row of an upload has it; ``None`` with the fault told when its priority is no number."""
    try:
        priority = int(row.priority or 0)
    except ValueError:
        row.faults.append(_("“%s” is no whole number: priorities are.") % row.priority)
        return None
    return {"number": row.number, "priority": priority, "description": row.description}


def _kept(member: Member) -> dict[str, Any]:
    """Return what a subscriber's form shows of him, as JSON keeps it."""
    return {name: _plain(getattr(member, column)) for name, column in OWN_FIELDS.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    return dict(value) if isinstance(value, Mapping) else "" if value is None else value


def _same(value: Any, seen: Any) -> bool:
    """Tell whether a value is as it was seen; instants are shown to the minute."""
    plain, before = _plain(value), _plain(seen)
    if isinstance(plain, float) and isinstance(before, float):
        return plain // 60 == before // 60
    return bool(plain == before)


def _told(value: Any) -> str:
    if isinstance(value, float):
        return date_format(localtime(datetime.fromtimestamp(value, UTC)), "Y-m-d H:i")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _shown(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the fields begin with."""
    shown = {name: value for name, value in seen.items() if name != "variables"}
    if shown.get("expire"):
        shown["expire"] = datetime.fromtimestamp(shown["expire"], UTC)
    return shown


# --- his call-back ----------------------------------------------------------------------------------------------


class PromiseForm(CallbackForm):
    """When he is called back, by his own clock, and by whom."""

    def __init__(self, member: Member, *args: Any, **kwargs: Any) -> None:
        super().__init__(member, *args, **kwargs)
        self.fields["at"] = forms.DateTimeField(
            label=gettext_lazy("call back at"), widget=Moment,
            help_text=_("By the clock of %s.") % member.zones_that_count[0],
        )  # fmt: skip
        self.fields["operator"].widget = PlainSelect(choices=self.fields["operator"].choices)  # type: ignore[attr-defined]
        dress(self)
