"""Where the REST interface is."""

from __future__ import annotations

from django.urls import path, re_path

from dialer.api import errors, sessions
from members import api as members

V2 = "api/v2/"
CAMPAIGN = f"{V2}dialer/<str:campaign>/"
MEMBER = f"{CAMPAIGN}members/<str:member>"

urlpatterns = [
    path("login", sessions.LogIn.as_view(), name="api-login"),
    path("logout", sessions.LogOut.as_view(), name="api-logout"),
    path(f"{V2}keys", sessions.Keys.as_view(), name="api-keys"),
    path(f"{V2}keys/<str:key>", sessions.Key.as_view(), name="api-key"),
    path(f"{CAMPAIGN}members", members.Members.as_view(), name="api-members"),
    path(f"{CAMPAIGN}members/count", members.MembersCount.as_view(), name="api-members-count"),
    path(f"{CAMPAIGN}members/reset", members.MembersReset.as_view(), name="api-members-reset"),
    path(MEMBER, members.OneMember.as_view(), name="api-member"),
    path(f"{MEMBER}/status", members.MemberStatus.as_view(), name="api-member-status"),
    path(f"{MEMBER}/end", members.MemberEnd.as_view(), name="api-member-end"),
    path(f"{MEMBER}/callback", members.MemberCallback.as_view(), name="api-member-callback"),
    path(f"{MEMBER}/communications", members.Communications.as_view(), name="api-communications"),
    path(f"{MEMBER}/communications/<str:communication>", members.OneCommunication.as_view(), name="api-communication"),
    # Last: whatever else begins with api has the shape of a problem too.
    re_path(r"^api(?:/(?P<path>.*))?$", errors.not_found),
]
