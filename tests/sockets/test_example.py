"""The example in the documentation does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from django.contrib.auth.models import User

from agents.models import OperatorStatus
from members.models import Member
from tests.engine.story import Story
from tests.sockets.conftest import Web, eventually

CLIENT = Path(__file__).resolve().parents[2] / "docs" / "operator_client.py"
PASSWORD = "correct horse battery"


def test_the_example_takes_a_call_and_reports_it(web: Web) -> None:
    user = User.objects.create_user("bob", password=PASSWORD)
    story = Story(operator={"user": user, "uses_client": False}, wait_for_result=True)
    process = subprocess.Popen(
        [sys.executable, str(CLIENT), f"http://127.0.0.1:{web.port}", "bob"],
        env=os.environ | {"PASSWORD": PASSWORD}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert "snapshot" in process.stdout.readline()

        def on_duty() -> bool:
            story.operator.refresh_from_db()
            return story.operator.client_connected and story.operator.call_centre_mode

        eventually(on_duty)
        assert story.operator.status == OperatorStatus.AVAILABLE
        story.talk(30)
        eventually(lambda: Member.objects.filter(pk=story.member.pk, success=True).exists())
    finally:
        process.kill()
        process.communicate()
