"""Bodies of requests: JSON in UTF-8, of bounded size, without what a database cannot keep."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, MultiPartParser

from dialer.api.errors import TooLarge

MOST_BYTES = 1024 * 1024
"""Of a body, where the endpoint does not say otherwise."""

_SUSPECT = re.compile(rb"\\u(0000|[dD][89a-fA-F])")


class JSONParser(BaseParser):
    """Reads JSON, and says by line and column where it is none."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the body as Python values. Raises ``TooLarge`` and ``ParseError``."""
        most = getattr((parser_context or {}).get("view"), "most_bytes", MOST_BYTES)
        raw = stream.read(most + 1)
        if len(raw) > most:
            raise TooLarge(most)
        return loads(raw)


class FilesParser(MultiPartParser):
    """Reads a form with a file, which is kept on disk; what is over Django's own limits is a fault of the request."""

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return fields and files. Raises ``TooLarge`` and ``ParseError``."""
        try:
            return super().parse(stream, media_type, parser_context)
        except RequestDataTooBig:
            raise TooLarge(settings.DATA_UPLOAD_MAX_MEMORY_SIZE) from None
        except SuspiciousOperation as error:
            raise ParseError(str(error)) from None


def loads(raw: bytes) -> Any:
    """Read strict JSON: no NaN, no field twice, and only characters that text can hold. Raises ``ParseError``."""
    try:
        found = json.loads(
            raw.decode("utf-8-sig"), parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_once
        )
    except UnicodeDecodeError as error:
        raise ParseError(_("The body is not UTF-8: byte %d is wrong.") % (error.start + 1)) from None
    except json.JSONDecodeError as error:
        raise ParseError(
            _("This is not JSON: %(what)s at line %(line)d, column %(column)d.")
            % {"what": error.msg, "line": error.lineno, "column": error.colno}
        ) from None
    except RecursionError:
        raise ParseError(_("The body is nested too deeply.")) from None
    except ValueError as error:
        raise ParseError(_("This is not JSON that can be read: %s") % error) from None
    if _SUSPECT.search(raw):
        _check_text(found)
    return found


def _check_text(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    if "\\u0000" in text.replace("\\\\", ""):
        raise ParseError(_("The body holds the character U+0000, which no text may."))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ParseError(_("The body holds half of a surrogate pair (\\uD800 to \\uDFFF), which is no text.")) from None


def _no_number(name: str) -> Any:
    raise ValueError(_("%s is no number of JSON.") % name)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(_("%s is too large for a number.") % text[:40])
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _value in pairs).most_common(1)[0][0]
        raise ValueError(_("“%s” is twice in one object.") % twice[:80])
    return found
