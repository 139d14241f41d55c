"""In which form answers are given: JSON, whatever is asked for."""

from __future__ import annotations

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation


class JsonAlone(DefaultContentNegotiation):
    """Answers JSON to a browser, too, instead of a page or a 406."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        """Return the one renderer."""
        return renderers[0], renderers[0].media_type
