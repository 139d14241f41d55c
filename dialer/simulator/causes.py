"""Hangup causes by the switch's names, with the numbers and texts that go with them."""

from __future__ import annotations

from typing import Final

CAUSES: Final[dict[str, int]] = {
    "NONE": 0,
    "UNALLOCATED_NUMBER": 1,
    "NO_ROUTE_TRANSIT_NET": 2,
    "NO_ROUTE_DESTINATION": 3,
    "CHANNEL_UNACCEPTABLE": 6,
    "CALL_AWARDED_DELIVERED": 7,
    "NORMAL_CLEARING": 16,
    "USER_BUSY": 17,
    "NO_USER_RESPONSE": 18,
    "NO_ANSWER": 19,
    "SUBSCRIBER_ABSENT": 20,
    "CALL_REJECTED": 21,
    "NUMBER_CHANGED": 22,
    "REDIRECTION_TO_NEW_DESTINATION": 23,
    "EXCHANGE_ROUTING_ERROR": 25,
    "DESTINATION_OUT_OF_ORDER": 27,
    "INVALID_NUMBER_FORMAT": 28,
    "FACILITY_REJECTED": 29,
    "RESPONSE_TO_STATUS_ENQUIRY": 30,
    "NORMAL_UNSPECIFIED": 31,
    "NORMAL_CIRCUIT_CONGESTION": 34,
    "NETWORK_OUT_OF_ORDER": 38,
    "NORMAL_TEMPORARY_FAILURE": 41,
    "SWITCH_CONGESTION": 42,
    "ACCESS_INFO_DISCARDED": 43,
    "REQUESTED_CHAN_UNAVAIL": 44,
    "PRE_EMPTED": 45,
    "FACILITY_NOT_SUBSCRIBED": 50,
    "OUTGOING_CALL_BARRED": 52,
    "INCOMING_CALL_BARRED": 54,
    "BEARERCAPABILITY_NOTAUTH": 57,
    "BEARERCAPABILITY_NOTAVAIL": 58,
    "SERVICE_UNAVAILABLE": 63,
    "BEARERCAPABILITY_NOTIMPL": 65,
    "CHAN_NOT_IMPLEMENTED": 66,
    "FACILITY_NOT_IMPLEMENTED": 69,
    "SERVICE_NOT_IMPLEMENTED": 79,
    "INVALID_CALL_REFERENCE": 81,
    "INCOMPATIBLE_DESTINATION": 88,
    "INVALID_MSG_UNSPECIFIED": 95,
    "MANDATORY_IE_MISSING": 96,
    "MESSAGE_TYPE_NONEXIST": 97,
    "WRONG_MESSAGE": 98,
    "IE_NONEXIST": 99,
    "INVALID_IE_CONTENTS": 100,
    "WRONG_CALL_STATE": 101,
    "RECOVERY_ON_TIMER_EXPIRE": 102,
    "MANDATORY_IE_LENGTH_ERROR": 103,
    "PROTOCOL_ERROR": 111,
    "INTERWORKING": 127,
    "SUCCESS": 142,
    "ORIGINATOR_CANCEL": 487,
    "CRASH": 700,
    "SYSTEM_SHUTDOWN": 701,
    "LOSE_RACE": 702,
    "MANAGER_REQUEST": 703,
    "BLIND_TRANSFER": 800,
    "ATTENDED_TRANSFER": 801,
    "ALLOTTED_TIMEOUT": 802,
    "USER_CHALLENGE": 803,
    "MEDIA_TIMEOUT": 804,
    "PICKED_OFF": 805,
    "USER_NOT_REGISTERED": 806,
    "PROGRESS_TIMEOUT": 807,
    "INVALID_GATEWAY": 808,
    "GATEWAY_DOWN": 809,
    "INVALID_URL": 810,
    "INVALID_PROFILE": 811,
    "NO_PICKUP": 812,
    "SRTP_READ_ERROR": 813,
    "BOWOUT": 814,
    "BUSY_EVERYWHERE": 815,
    "DECLINE": 816,
    "DOES_NOT_EXIST_ANYWHERE": 817,
    "NOT_ACCEPTABLE": 818,
    "UNWANTED": 819,
    "NO_IDENTITY": 820,
    "BAD_IDENTITY_INFO": 821,
    "UNSUPPORTED_CERTIFICATE": 822,
    "INVALID_IDENTITY": 823,
    "STALE_DATE": 824,
    "REJECT_ALL": 825,
}
"""Every cause of the switch, and its number there."""

WITHOUT_CHANNEL: Final = frozenset(
    {"CHAN_NOT_IMPLEMENTED", "DESTINATION_OUT_OF_ORDER", "SUBSCRIBER_ABSENT", "USER_NOT_REGISTERED"}
)
"""An originate that ends so has made no channel: nothing but the job tells of it."""
WITH_LONE_DESTROY: Final = frozenset({"GATEWAY_DOWN", "INVALID_GATEWAY", "INVALID_PROFILE"})
"""An originate that ends so is told of by the job and by a CHANNEL_DESTROY without a name or a cause."""
ANSWERED_ON: Final = frozenset({"NO_ANSWER", "NO_USER_RESPONSE", "ORIGINATOR_CANCEL"})
"""When bridging to a second leg fails so, the first leg goes on in its dialplan: at the end of it, NORMAL_CLEARING."""

_LAST_Q850 = CAUSES["INTERWORKING"]
_DIAL_STATUS = {
    "CALL_REJECTED": "DONTCALL",
    "DESTINATION_OUT_OF_ORDER": "INVALIDARGS",
    "INVALID_PROFILE": "INVALIDARGS",
    "NO_ANSWER": "NOANSWER",
    "ORIGINATOR_CANCEL": "CANCEL",
    "USER_BUSY": "BUSY",
}
_SIP = {
    "CALL_REJECTED": 603,
    "EXCHANGE_ROUTING_ERROR": 483,
    "INCOMPATIBLE_DESTINATION": 488,
    "INTERWORKING": 505,
    "INVALID_NUMBER_FORMAT": 484,
    "NETWORK_OUT_OF_ORDER": 503,
    "NORMAL_TEMPORARY_FAILURE": 503,
    "NO_ROUTE_DESTINATION": 604,
    "NO_USER_RESPONSE": 480,
    "NUMBER_CHANGED": 410,
    "RECOVERY_ON_TIMER_EXPIRE": 504,
    "SERVICE_NOT_IMPLEMENTED": 501,
    "SERVICE_UNAVAILABLE": 405,
    "UNALLOCATED_NUMBER": 404,
    "USER_BUSY": 486,
}


def q850(cause: str) -> int:
    """Return the Q.850 number of a cause: 16 for those that Q.850 does not know."""
    number = CAUSES[cause]
    return number if number <= _LAST_Q850 else CAUSES["NORMAL_CLEARING"]


def sip(cause: str) -> int:
    """Return the SIP status by which a phone or carrier brings a cause about; 480 when none is its own."""
    return _SIP.get(cause, 480)


def dial_status(cause: str) -> str:
    """Return what the switch writes to DIALSTATUS on a leg whose second leg failed."""
    return _DIAL_STATUS.get(cause, cause)


def named(text: str) -> str:
    """Return the cause that a command names, by name in any case or by number; NORMAL_CLEARING when there is none."""
    if text[:1].isdigit():
        return next((name for name, number in CAUSES.items() if text == str(number)), "NORMAL_CLEARING")
    return text.upper() if text.upper() in CAUSES else "NORMAL_CLEARING"
