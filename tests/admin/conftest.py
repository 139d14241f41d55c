"""What a browser does with a page of the admin: fill in its form as it stands, change some fields, send it."""

from __future__ import annotations

from typing import Any

import pytest
from django.forms import BoundField, CheckboxInput
from django.test import Client


class Browser:
    """A supervisor at the admin."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def form(self, url: str) -> dict[str, Any]:
        """Return the fields of the form on a page, inlines and all, as a browser would send them unchanged."""
        response = self.client.get(url)
        assert response.status_code == 200
        forms: list[Any] = [response.context["adminform"].form]
        for inline in response.context["inline_admin_formsets"]:
            forms += [inline.formset.management_form, *inline.formset.forms]
        return {field.html_name: value for form in forms for field in form if (value := self._sent(field)) is not None}

    @staticmethod
    def _sent(field: BoundField) -> Any:
        if field.field.disabled:
            return None
        value = field.value()
        if isinstance(field.field.widget, CheckboxInput):
            return "on" if value else None
        return "" if value is None else value

    def send(self, url: str, **changes: Any) -> Any:
        """Send the form of a page with these changes; names of inline fields have "__" for "-"."""
        changed = {name.replace("__", "-"): value for name, value in changes.items()}
        return self.client.post(url, {**self.form(url), **changed})

    def add_row(self, url: str, prefix: str, **fields: Any) -> dict[str, Any]:
        """Return the changes to a page's form that "Add another …" and filling in that row make."""
        total = int(self.form(url)[f"{prefix}-TOTAL_FORMS"])
        return {f"{prefix}-{total}-{name}": value for name, value in fields.items()} | {
            f"{prefix}-TOTAL_FORMS": total + 1
        }


def faults(response: Any) -> dict[str, list[str]]:
    """Return the messages at the fields of a page that came back, by the fields' names; "" for those of the form."""
    assert response.status_code == 200, "it was saved"
    found: dict[str, list[str]] = {}

    def take(form: Any) -> None:
        for name, errors in form.errors.items():
            key = form.add_prefix(name) if name != "__all__" else form.prefix or ""
            found.setdefault(key, []).extend(errors)

    take(response.context["adminform"].form)
    for inline in response.context["inline_admin_formsets"]:
        if inline.formset.non_form_errors():
            found[inline.formset.prefix] = list(inline.formset.non_form_errors())
        for form in inline.formset.forms:
            take(form)
    for messages in found.values():
        for message in messages:
            assert str(message) in response.rendered_content.replace("&#x27;", "'"), "the page shows it"
    return found


def messages(response: Any) -> list[str]:
    """Return what the page that follows tells at its top."""
    return [str(message) for message in response.context["messages"]]


@pytest.fixture
def browser(admin_client: Client) -> Browser:
    return Browser(admin_client)
