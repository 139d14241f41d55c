"""The rules as pure functions: facts and ``now`` in, a decision out. Knows no model, touches nothing."""

from dialer.engine.policy.allotment import Allotment, CampaignLines, Candidate, FreeOperator, Match, TierPlace, allot
from dialer.engine.policy.dispositions import Disposition, Faults, complete
from dialer.engine.policy.ends import (
    ABANDONED,
    NOT_SAYABLE,
    SUCCESS_CAUSE,
    AttemptFacts,
    EndDecision,
    MemberFacts,
    Rules,
    decide_end,
    plain_cause,
)
from dialer.engine.policy.operators import NOT_REGISTERED, OperatorDecision, OperatorFacts, decide_operator
from dialer.engine.policy.pace import BURST
from dialer.engine.policy.results import (
    LARGEST_ID,
    LONGEST_WAIT,
    Result,
    ResultDecision,
    decide_no_result,
    decide_result,
    read_result,
)
from dialer.engine.policy.waiting import Waiting, bring, seconds_left, too_many_abandoned

__all__ = [
    "ABANDONED",
    "BURST",
    "LARGEST_ID",
    "LONGEST_WAIT",
    "NOT_REGISTERED",
    "NOT_SAYABLE",
    "SUCCESS_CAUSE",
    "Allotment",
    "AttemptFacts",
    "CampaignLines",
    "Candidate",
    "Disposition",
    "EndDecision",
    "Faults",
    "FreeOperator",
    "Match",
    "MemberFacts",
    "OperatorDecision",
    "OperatorFacts",
    "Result",
    "ResultDecision",
    "Rules",
    "TierPlace",
    "Waiting",
    "allot",
    "bring",
    "complete",
    "decide_end",
    "decide_no_result",
    "decide_operator",
    "decide_result",
    "plain_cause",
    "read_result",
    "seconds_left",
    "too_many_abandoned",
]
