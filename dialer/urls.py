"""Where the pages are."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("dialer.api.urls")),
    path("", include("dialer.web_urls")),
]
