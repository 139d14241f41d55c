"""Operators as users of the switch's directory: what phones log in with, and what the switch asks us for.

The switch asks for one user at a time (``mod_xml_curl``, at a registration and at each call to ``user/EXTENSION``), or
reads a file that ``manage.py export_directory`` wrote. It runs its preprocessor over both, line by line: it throws
away a line that holds ``<?`` or ``<include>``, expands ``$${…}`` and obeys ``<X-PRE-PROCESS>``. So there is no XML
declaration here, one element stands in a line, and a dollar sign is never written as itself.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from django.conf import settings
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict

from agents.models import Operator, OperatorPhone
from dialer import clock
from dialer.switch_door import for_switches

CACHE_MS = 60_000
"""For so long the switch remembers the user of a hard phone: a new password holds after that at the latest."""
DIAL_STRING = (
    "{^^:sip_invite_domain=${dialed_domain}:presence_id=${dialed_user}@${dialed_domain}}"
    "${sofia_contact(*/${dialed_user}@${dialed_domain})}"
)
"""All phones that a user has registered. The switch itself fills it in, with the id and domain written here."""
PARAMETERS = {
    "agent-call-timeout": "call_timeout",
    "agent-wrap-up-time": "wrap_up_time",
    "agent-max-no-answer": "max_no_answer",
    "agent-busy-delay": "busy_delay",
    "agent-reject-delay": "reject_delay",
    "agent-no-answer-delay": "no_answer_delay",
}
"""An operator's parameters as params of his directory user, beside ``agent=true``. Params reach no channel."""
NOT_FOUND = """<document type="freeswitch/xml">
  <section name="result">
    <result status="not found" />
  </section>
</document>
"""

_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Those that nobody mistakes for one another when he types them into a phone."""
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def digest_a1(extension: str, realm: str, password: str) -> str:
    """Return what SIP digest log-in compares: MD5 of ``extension:realm:password``, as RFC 2617 rules it."""
    return hashlib.md5(f"{extension}:{realm}:{password}".encode(), usedforsecurity=False).hexdigest()


def new_password() -> str:
    """Return a password for a phone: 16 letters and digits, about 93 bits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(16))


# --- rendering ----------------------------------------------------------------------------------------------------


def answer(operators: Iterable[Operator]) -> str:
    """Render the answer that holds these operators as users of our domain."""
    document = ET.Element("document", type="freeswitch/xml")
    section = ET.SubElement(document, "section", name="directory")
    section.append(_domain(operators, with_parameters=False))
    return _written(document)


def exported(operators: Iterable[Operator]) -> str:
    """Render a file of the switch's directory, with each operator's name and parameters."""
    include = ET.Element("include")
    include.append(_domain(operators, with_parameters=True))
    return _written(include)


def _domain(operators: Iterable[Operator], *, with_parameters: bool) -> ET.Element:
    domain = ET.Element("domain", name=settings.SIP_DOMAIN)
    _params(domain, {"dial-string": DIAL_STRING})
    users = ET.SubElement(domain, "users")
    for operator in operators:
        in_page = operator.phone == OperatorPhone.PAGE
        a1 = operator.page_phone_a1 if in_page else operator.sip_password_a1
        if not a1:
            continue  # the switch lets in a user without a password
        user = ET.SubElement(users, "user", id=operator.extension)
        if not in_page:  # whose secret of a moment ago holds at once
            user.set("cacheable", str(CACHE_MS))
        params = {"a1-hash": a1, "allow-empty-password": "false"}
        if with_parameters:
            params |= {"agent": "true", "agent-name": operator.name}
            params |= {name: str(getattr(operator, field)) for name, field in PARAMETERS.items()}
        _params(user, params)
        variables = ET.SubElement(user, "variables")
        ET.SubElement(variables, "variable", name="user_context", value="default")
    return domain


def _params(parent: ET.Element, values: dict[str, str]) -> None:
    params = ET.SubElement(parent, "params")
    for name, value in values.items():
        ET.SubElement(params, "param", name=name, value=_NO_XML.sub("", value))


def _written(root: ET.Element) -> str:
    ET.indent(root)
    # The switch's preprocessor reads dollars and its own word in any line; its parser reads them back from this.
    text = ET.tostring(root, encoding="unicode").replace("$", "&#36;")
    return re.sub(r"(?i)(x)-(pre-process)", r"\1&#45;\2", text) + "\n"


# --- serving ------------------------------------------------------------------------------------------------------


@for_switches("DIRECTORY_PASSWORD")
def serve(request: HttpRequest) -> HttpResponse:
    """Answer the switch's question for a user. One query; "not found" for whatever else it asks."""
    found = _asked_for(request.POST)
    return HttpResponse(answer([found]) if found else NOT_FOUND, content_type="text/xml")


def _asked_for(asked: QueryDict) -> Operator | None:
    """Return the operator whom the switch asks for.

    It writes its own words first and the user last; between them may stand variables of a call, of any name.
    """

    def first(name: str) -> str:
        return (asked.getlist(name) or [""])[0]

    user = (asked.getlist("user") or [""])[-1]
    if first("section") != "directory" or first("tag_name") != "domain" or not user:
        return None
    if first("key_value").lower() != settings.SIP_DOMAIN.lower():
        return None
    return phones().filter(extension=user).first()


def phones() -> QuerySet[Operator]:
    """Return the operators whose phones may register now."""
    hard = Q(phone=OperatorPhone.HARD) & ~Q(sip_password_a1="")
    in_page = Q(phone=OperatorPhone.PAGE, page_phone_until__gt=clock.now()) & ~Q(page_phone_a1="")
    return Operator.objects.filter(hard | in_page, archived=False).order_by("extension")
