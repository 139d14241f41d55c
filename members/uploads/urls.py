"""Where the pages of uploads are."""

from django.urls import path

from members.uploads import views

urlpatterns = [
    path("campaigns/<int:campaign_id>/uploads/", views.of_campaign, name="uploads"),
    path("do-not-call/uploads/", views.of_do_not_call, name="do-not-call-uploads"),
    path("uploads/<int:upload_id>/", views.one, name="upload"),
    path("uploads/<int:upload_id>/preview", views.preview, name="upload-preview"),
    path("uploads/<int:upload_id>/progress", views.progress, name="upload-progress"),
    path("uploads/<int:upload_id>/rejected", views.rejected, name="upload-rejected"),
    path("uploads/<int:upload_id>/<slug:act>", views.act, name="upload-act"),
]
