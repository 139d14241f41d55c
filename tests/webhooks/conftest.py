"""Who receives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.webhooks.receivers import Receiver, listening


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as him:
        yield him
