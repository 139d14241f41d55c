"""The contract of the event socket holds for each backend."""

from __future__ import annotations

import pytest

from dialer.esl.backends import connection_class
from dialer.esl.client import Connection
from dialer.esl.errors import BackendMissing


@pytest.fixture(params=["own", "python-esl"])
def backend(request: pytest.FixtureRequest) -> type[Connection]:
    """Return the connection of each backend that is installed here."""
    try:
        return connection_class(request.param)
    except BackendMissing as error:
        pytest.skip(str(error))
