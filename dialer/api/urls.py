"""Where the REST interface is."""

from __future__ import annotations

from django.urls import path, re_path

from dialer.api import errors, sessions

V2 = "api/v2/"

urlpatterns = [
    path("login", sessions.LogIn.as_view(), name="api-login"),
    path("logout", sessions.LogOut.as_view(), name="api-logout"),
    path(f"{V2}keys", sessions.Keys.as_view(), name="api-keys"),
    path(f"{V2}keys/<str:key>", sessions.Key.as_view(), name="api-key"),
    # Last: whatever else begins with api has the shape of a problem too.
    re_path(r"^api(?:/(?P<path>.*))?$", errors.not_found),
]
