"""Who may see the supervisors' pages."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def for_supervisors(view: View[P]) -> View[P]:
    """Show a page to staff alone: others are sent to the log-in, or refused when they are logged in."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if not request.user.is_staff:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded


def for_supervisors_scripts(view: View[P]) -> View[P]:
    """As ``for_supervisors``, for what a page asks for by itself: 401 and 403 instead of a page."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return JsonResponse({"message": _("You are logged out.")}, status=401)
        if not request.user.is_staff:
            return JsonResponse({"message": _("This is for supervisors.")}, status=403)
        return view(request, *args, **kwargs)

    return guarded
