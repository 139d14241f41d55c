"""The entry of the web server, without what it says to the processes that a test starts."""

from __future__ import annotations

import os
from typing import Any


def application() -> Any:
    # It makes the settings of a web server the default for its process, and children inherit them.
    before = os.environ.get("DATABASE_POOL")
    from dialer.asgi import application as entry

    if before is None:
        os.environ.pop("DATABASE_POOL", None)
    return entry
