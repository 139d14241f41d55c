"""Forms of what a campaign says about the operators' desk: dispositions, a script, links and times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import actions, placeholders
from campaigns.actions import ChangedMeanwhile
from campaigns.fields import link_faults
from campaigns.forms import CampaignForm
from campaigns.models import (
    MEANING_COLOURS,
    MEANING_FIELDS,
    MEANING_REQUIREMENTS,
    Campaign,
    Colour,
    Meaning,
    Requirement,
    Stop,
)
from dialer.web.campaign_forms import SettingsForm, seal, unseal

MOST_ROWS: Final = 100
"""Dispositions of a campaign, archived ones among them."""
TYPED_PARTS: Final = set(actions.DISPOSITION_FIELDS) - {"wait", "archived"}
"""Parts of a disposition that the page has as they are."""
SPARE_LINKS: Final = 2
"""Empty rows for links at the end, for browsers without scripts."""


# --- script, links and times ------------------------------------------------------------------------------------


class LinksInput(forms.Widget):
    """Rows of a name and an address, drawn by the page."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[dict[str, str]]:
        pairs = zip(data.getlist("link_name"), data.getlist("link_url"), strict=False)
        rows = [{"name": name.strip(), "url": url.strip()} for name, url in pairs]
        return [row for row in rows if row["name"] or row["url"]]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return "link_name" not in data


class LinksField(forms.Field):
    widget = LinksInput


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A link on the page, and what is wrong with it."""

    name: str = ""
    url: str = ""
    name_fault: str = ""
    url_fault: str = ""


class DeskForm(SettingsForm):
    """Script, links and times."""

    EXAMPLE_LINK = "https://crm.example/{contact_id}"
    seen_name = "seen_settings"
    desk_links = LinksField(label=gettext_lazy("links"), required=False)

    class Meta(CampaignForm.Meta):
        fields = ("script", "desk_links", "call_back_grace", "wrap_up_extension", "coaching_shown")

    def __init__(self, data: Any = None, *, instance: Campaign | None = None) -> None:
        super().__init__(data, instance=instance)
        self.fields["script"].widget.attrs["rows"] = 12
        for name in ("call_back_grace", "wrap_up_extension"):
            found: Any = self.fields[name]
            found.unit = _("seconds")
            found.default = Campaign._meta.get_field(name).get_default()  # type: ignore[union-attr]
        self.link_faults: dict[tuple[int, str], list[str]] = {}

    def clean_desk_links(self) -> list[dict[str, str]]:
        links: list[dict[str, str]] = self.cleaned_data["desk_links"] or []
        if len(links) > placeholders.MOST_LINKS:
            raise ValidationError(_("At most %(most)d links.") % {"most": placeholders.MOST_LINKS})
        self.link_faults = link_faults(links)
        if self.link_faults:
            raise ValidationError(_("What is wrong is told at the link."))
        return links

    def typed_links(self) -> list[dict[str, str]]:
        """Return the links as the page shows them: those typed, or those saved."""
        return list(self["desk_links"].value() or [])

    def link_rows(self) -> list[LinkRow]:
        """Return the links with their faults, and empty rows to fill in."""
        told = {key: " ".join(faults) for key, faults in self.link_faults.items()}
        rows = [
            LinkRow(link["name"], link["url"], told.get((place, "name"), ""), told.get((place, "url"), ""))
            for place, link in enumerate(self.typed_links())
        ]
        spare = min(SPARE_LINKS, max(0, placeholders.MOST_LINKS - len(rows)))
        return [*rows, *(LinkRow() for _spare in range(spare))]

    def _told(self, name: str, value: Any) -> str:
        if name == "desk_links":
            return ", ".join(link["name"] for link in value) or "–"
        return Truncator(super()._told(name, value)).chars(60) if name == "script" else super()._told(name, value)


# --- dispositions -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Row:
    """A disposition as the page has it: what was typed, and what is wrong with it."""

    key: str
    name: str = ""
    meaning: str = Meaning.FAILURE.value
    colour: str = ""
    hotkey: str = ""
    requires: Sequence[str] = ()
    wait: str = ""
    stop: str = ""
    reset_retries: bool = False
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def tone(self) -> str:
        return self.colour if self.colour in Colour.values else MEANING_COLOURS.get(self.meaning, Colour.OFF)

    def is_blank(self) -> bool:
        """Tell whether nothing was typed in it: an empty row is none."""
        return not (self.name or self.hotkey or self.wait or self.requires or self.stop or self.reset_retries)

    def values(self) -> dict[str, Any]:
        """Return it as the action takes it; what its meaning has nothing of is left out. Notes what is no number."""
        fields = MEANING_FIELDS.get(self.meaning, frozenset())
        asked = MEANING_REQUIREMENTS.get(self.meaning, frozenset())
        wait = self.wait if "wait" in fields else ""
        if wait and not re.fullmatch(r"[0-9]{1,9}", wait, re.ASCII):
            self.faults["wait"] = _("A whole number of seconds.")
            wait = ""
        return {
            "name": self.name,
            "meaning": self.meaning,
            "colour": self.colour,
            "hotkey": self.hotkey,
            "requires": [name for name in self.requires if name in asked],
            "wait": int(wait) if wait else None,
            "stop": self.stop if "stop" in fields else "",
            "reset_retries": self.reset_retries and "reset_retries" in fields,
        }


class DispositionsForm:
    """The dispositions of a campaign as rows in their order, and those that are archived as names."""

    choices: ClassVar[dict[str, Any]] = {
        "meanings": [(value, label, MEANING_COLOURS[value]) for value, label in Meaning.choices],
        "colours": Colour.choices,
        "requirements": Requirement.choices,
        "stops": Stop.choices,
    }

    def __init__(self, campaign: Campaign, data: Any = None) -> None:
        self.campaign = campaign
        self.seen: dict[str, dict[str, Any]] = actions.disposition_parts(campaign.pk)
        self.fault = ""
        self.restored: list[str] = []
        if data is None:
            self.rows = [
                self._row(str(place), name, parts)
                for place, (name, parts) in enumerate(self.seen.items())
                if not parts["archived"]
            ]
            return
        self.rows = [read_row(data, key) for key in data.getlist("row")[: MOST_ROWS + 1]]
        self.restored = data.getlist("restore")
        try:
            self.seen = unseal(data.get("seen", ""))
        except ValidationError as error:
            self.fault = error.messages[0]

    @staticmethod
    def _row(key: str, name: str, parts: Mapping[str, Any]) -> Row:
        given = {part: parts[part] for part in parts.keys() & TYPED_PARTS}
        wait = parts.get("wait")
        return Row(key, name, **given, wait="" if wait is None else str(wait))

    def sealed(self) -> str:
        return seal(self.seen)

    def archived(self) -> list[dict[str, Any]]:
        """Return those that are offered no more, and whether each is to be offered again."""
        return [
            {"name": name, "meaning": Meaning(parts["meaning"]).label, "restored": name in self.restored}
            for name, parts in self.seen.items()
            if parts["archived"]
        ]

    def has_faults(self) -> bool:
        """Tell whether something is told at a row."""
        return any(row.faults for row in self.rows)

    def blank(self) -> Row:
        """Return an empty row; the page numbers it when it is added."""
        return Row("new")

    # What a button of a row does before anything is saved: browsers without scripts post it.

    def arrange(self, data: Any) -> bool:
        """Add, move or take out a row as a button asked; ``False`` when none of these was asked."""
        if "add" in data:
            self.add([Row(self._free_key())])
            return True
        for name, step in (("up", -1), ("down", 1), ("remove", 0)):
            place = next((place for place, row in enumerate(self.rows) if row.key == data.get(name)), None)
            if place is None:
                continue
            row = self.rows.pop(place)
            if step:
                self.rows.insert(max(0, place + step), row)
            return True
        return False

    def add(self, rows: Iterable[Row]) -> None:
        self.rows.extend(rows)

    def add_defaults(self) -> None:
        """Add those that fit most campaigns, but for names and keys that are taken."""
        names = {row.name for row in self.rows} | {name for name, parts in self.seen.items() if parts["archived"]}
        keys = {row.hotkey for row in self.rows}
        for row in actions.default_dispositions(names, keys):
            self.add([self._row(self._free_key(), row.pop("name"), {"wait": None, **row})])

    def _free_key(self) -> str:
        keys = {row.key for row in self.rows}
        return next(str(key) for key in range(len(keys) + 1) if str(key) not in keys)

    def keep(self) -> bool | None:
        """Save them; tell whether anything changed, or return ``None`` with the faults shown."""
        filled = [row for row in self.rows if not row.is_blank()]
        given = [row.values() for row in filled]
        for name, parts in self.seen.items():
            if parts["archived"] and name not in {row.name for row in filled}:
                given.append({"name": name, **parts, "archived": name not in self.restored})
        if len(given) > MOST_ROWS:
            self.fault = _("At most %d dispositions.") % MOST_ROWS
        if self.fault or any(row.faults for row in filled):
            return None
        before = actions.disposition_parts(self.campaign.pk)
        try:
            actions.set_dispositions(self.campaign.pk, given, seen=self.seen)
        except ChangedMeanwhile as changed:
            self._show(changed)
            return None
        except ValidationError as error:
            self._tell(filled, error)
            return None
        after = actions.disposition_parts(self.campaign.pk)
        return list(before.items()) != list(after.items())

    def _tell(self, filled: Sequence[Row], error: ValidationError) -> None:
        """Show what the action refused at its row and field."""
        others = []
        for path, told in error.message_dict.items():
            found = re.fullmatch(r"dispositions\[(\d+)\]\.(\w+)", path)
            if found and int(found[1]) < len(filled):
                filled[int(found[1])].faults[found[2]] = " ".join(told)
            else:
                others += told
        self.fault = " ".join(others)

    def _show(self, changed: ChangedMeanwhile) -> None:
        """Show what others set meanwhile; what they have set counts as seen, so that saving again decides."""
        for name, parts in changed.now.items():
            row = next((row for row in self.rows if row.name == name), None)
            if parts is None:
                told = _("Somebody else removed it while you were editing. Save again to keep yours.")
                self.seen.pop(name, None)
            else:
                told = _("Somebody else changed it while you were editing. Save again to set yours, or load the page "
                         "again to take theirs.")  # fmt: skip
                if row is None:
                    row = self._row(self._free_key(), name, parts)
                    self.add([row])
                    told = _("Somebody else changed it while you removed it. Remove it again, or save it as it is.")
                self.seen[name] = parts
            if row is not None:
                row.faults["name"] = told


def read_row(data: Any, key: str) -> Row:
    """Return a row as it was typed."""

    def typed(name: str) -> str:
        return str(data.get(f"{name}-{key}", "")).strip()

    return Row(
        key, typed("name"), typed("meaning"), typed("colour"), typed("hotkey").lower(),
        data.getlist(f"requires-{key}"), typed("wait"), typed("stop"), bool(typed("reset")),
    )  # fmt: skip
