"""The share and the limits of switches are set in the admin; the switches themselves are not."""

from __future__ import annotations

import pytest
from django.urls import reverse

from dialer.models import Node
from tests.admin.conftest import Browser
from tests.factories import make_node


@pytest.fixture
def node(db: None) -> Node:
    return make_node(version="1.10.12", listener="dialer-1:17")


def url(node: Node, name: str = "change") -> str:
    return reverse(f"admin:dialer_node_{name}", args=[node.pk])


def test_its_share_and_its_limits_are_changed_and_nothing_else(browser: Browser, node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(sessions=7)
    response = browser.send(url(node), weight="3", max_calls="40", max_rate="", name="elsewhere:8021", sessions="1")
    assert response.status_code == 302
    node.refresh_from_db()
    assert (node.weight, node.max_calls, node.max_rate, node.enabled) == (3, 40, None, True)
    assert (node.name.startswith("switch-"), node.sessions) == (True, 7)


@pytest.mark.parametrize(
    ("field", "value"), [("weight", "0"), ("weight", "101"), ("max_rate", "0"), ("max_calls", "-1")]
)
def test_what_makes_no_sense_is_refused_by_field(browser: Browser, node: Node, field: str, value: str) -> None:
    response = browser.send(url(node), **{field: value})
    assert response.status_code == 200
    assert list(response.context["adminform"].form.errors) == [field]


def test_switches_are_those_that_are_configured(browser: Browser, node: Node) -> None:
    assert browser.client.get(reverse("admin:dialer_node_add")).status_code == 403
    assert browser.client.post(url(node, "delete"), {"post": "yes"}).status_code == 403
    shown = browser.client.get(reverse("admin:dialer_node_changelist")).content.decode()
    assert "dialer-1:17" in shown
    assert "1.10.12" in shown
