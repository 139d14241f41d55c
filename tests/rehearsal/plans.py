"""A plan for tests, and the database that it builds."""

from __future__ import annotations

import tomllib

from dialer.rehearsal import plan, stage

ONE_CALL = """
[rehearsal]
about = "x"

[rehearsal.gateways]
trunk = 4

[[rehearsal.routes]]
gateway = "trunk"

[[rehearsal.operators]]
extensions = "1001-1002"
campaigns = ["survey"]
wrap_up_time = 5

[[rehearsal.campaigns]]
name = "survey"
calendar = "always"
limit = 4
retry_wait = 20

[[rehearsal.campaigns.members]]
count = 3
prefix = "38050"
numbers = 2
priorities = [0, 10]
zones = ["", "Europe/Warsaw"]
expire_after = 600

[rehearsal.campaigns.results]
reported = 1.0
"""


def build(text: str = ONE_CALL) -> plan.Plan:
    """Read a plan and build it in the test's database."""
    found = plan.parse(tomllib.loads(text)["rehearsal"])
    stage.build(found)
    return found
