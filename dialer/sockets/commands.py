"""What an operator's client may ask: each command does what its counterpart of the REST interface does, for himself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from agents import actions
from agents.api import STATUSES, StatusBody
from dialer import verbs
from dialer.api import errors
from dialer.api.fields import LARGEST_ID, Body, Flag, Whole
from dialer.models import Attempt
from dialer.sockets import actions as leases
from dialer.sockets.sign_in import Identity
from dialer.sockets.views import Message

Said = Mapping[str, Any]


class NothingBody(Body):
    pass


class CallCentreModeBody(Body):
    on = Flag()


class ExtendBody(Body):
    attempt = Whole(min_value=1, max_value=LARGEST_ID)
    seconds = Whole(min_value=1, max_value=3600)


def _read(body: type[Body], said: Said) -> dict[str, Any]:
    reader = body(data=said)
    reader.is_valid(raise_exception=True)
    return dict(reader.validated_data)


def _status(who: Identity, operator_id: int, said: Said) -> Message:
    body = _read(StatusBody, said)
    chosen = next(status for status, known in STATUSES.items() if known == body["status"])
    by = get_user_model().objects.get(pk=who.user_id)
    actions.set_status(operator_id, chosen, by=by, reason=body.get("reason", ""))
    return {}


def _ready(who: Identity, operator_id: int, said: Said) -> Message:
    _read(NothingBody, said)
    actions.ready(operator_id)
    return {}


def _call_centre_mode(who: Identity, operator_id: int, said: Said) -> Message:
    actions.set_call_centre_mode(operator_id, _read(CallCentreModeBody, said)["on"])
    return {}


def _result(who: Identity, operator_id: int, said: Said) -> Message:
    his = _attempt(operator_id, said)
    by = get_user_model().objects.get(pk=who.user_id)
    return dict(verbs.report_result(his.campaign_id, his.member_id, dict(said), by=by))


def _hang_up(who: Identity, operator_id: int, said: Said) -> Message:
    his = _attempt(operator_id, said)
    if unknown := said.keys() - {"attempt"}:
        raise ValidationError(dict.fromkeys(unknown, "There is no such field here."))
    verbs.hang_up(his.pk, by=get_user_model().objects.get(pk=who.user_id))
    return {}


def _extend(who: Identity, operator_id: int, said: Said) -> Message:
    body = _read(ExtendBody, said)
    his = Attempt.objects.get(pk=body["attempt"], operator=operator_id)
    return {name: at and at.isoformat() for name, at in verbs.extend(his.pk, body["seconds"]).items()}


def _attempt(operator_id: int, said: Said) -> Attempt:
    """Return the attempt of his that a command is about. Raises ``ValidationError``, ``DoesNotExist``."""
    named = said.get("attempt")
    if type(named) is not int or not 0 < named <= LARGEST_ID:
        raise ValidationError({"attempt": "Say which call this is about: the attempt of its message."})
    return Attempt.objects.get(pk=named, operator=operator_id, seeking_since__isnull=True)


COMMANDS: Mapping[str, Callable[[Identity, int, Said], Message]] = {
    "status": _status,
    "ready": _ready,
    "call_centre_mode": _call_centre_mode,
    "result": _result,
    "hang_up": _hang_up,
    "extend": _extend,
}
TAKE_OVER = "take_over"
"""The one that is about the client itself."""


def obey(who: Identity, operator_id: int, client_id: UUID, command: str, said: Said) -> Message:
    """Do what a client asked; return what its answer says, ``ok`` or the problem."""
    try:
        if command == TAKE_OVER:
            _read(NothingBody, said)
            leases.lead(client_id, operator_id)
            return {"ok": True}
        do = COMMANDS.get(command)
        if do is None:
            known = ", ".join([*COMMANDS, TAKE_OVER])
            raise ValidationError({"type": f"There is no command “{command[:40]}”; there are {known}."})
        return {"ok": True, **do(who, operator_id, said)}
    except Exception as error:
        return refusal(error)


def refusal(error: Exception) -> Message:
    """Return what an answer says of something that went wrong."""
    return {"ok": False, "problem": errors.answer(error, {}).data}


def problem(status: HTTPStatus, code: str, detail: str) -> Message:
    """Return what an answer says of a wish that was not looked at."""
    return {"ok": False, "problem": errors.problem(status, code, detail).data}
