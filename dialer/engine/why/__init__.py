"""Why somebody is not called now, or gets no call: in words, in order, and when it clears by itself.

Asked of the code of the claim itself: the conditions on a subscriber and his number (``lanes.CONDITIONS``), on a lane
(``dispatch.LANE_CONDITIONS``) and on an operator (``agents.models.claim_conditions``), and the choice that the next
pass would make (``dispatch.choose``), of which nothing is written. Who has no blocker is claimed by the next pass.
"""

from dialer.engine.why.campaigns import of_campaign
from dialer.engine.why.members import of_member
from dialer.engine.why.operators import of_operator
from dialer.engine.why.turns import COUNTED
from dialer.engine.why.words import STEPS, Blocker, Funnel, Step

__all__ = ["COUNTED", "STEPS", "Blocker", "Funnel", "Step", "of_campaign", "of_member", "of_operator"]
