"""Where the REST interface is."""

from __future__ import annotations

from django.urls import path, re_path

from agents import api as agents
from campaigns import api as campaigns
from dialer.api import attempts, coaching, docs, errors, exports, live, sessions, statistics, why
from dialer.webhooks import api as webhooks
from members import api as members
from members import do_not_call_api as do_not_call
from members.uploads import api as uploads

V2 = "api/v2/"
CAMPAIGN = f"{V2}dialer/<str:campaign>/"
MEMBER = f"{CAMPAIGN}members/<str:member>"
UPLOAD = f"{V2}uploads/<str:upload>"
WEBHOOK = f"{V2}webhooks/<str:webhook>"

urlpatterns = [
    path("login", sessions.LogIn.as_view(), name="api-login"),
    path("logout", sessions.LogOut.as_view(), name="api-logout"),
    path(f"{V2}keys", sessions.Keys.as_view(), name="api-keys"),
    path(f"{V2}keys/<str:key>", sessions.Key.as_view(), name="api-key"),
    path(f"{V2}calendars", campaigns.Calendars.as_view(), name="api-calendars"),
    path(f"{V2}calendars/<str:calendar>", campaigns.OneCalendar.as_view(), name="api-calendar"),
    path(f"{V2}gateways", campaigns.Gateways.as_view(), name="api-gateways"),
    path(f"{V2}gateways/<str:gateway>", campaigns.OneGateway.as_view(), name="api-gateway"),
    path(f"{V2}routes", campaigns.Routes.as_view(), name="api-routes"),
    path(f"{V2}routes/<str:route>", campaigns.OneRoute.as_view(), name="api-route"),
    path(f"{V2}operators", agents.Operators.as_view(), name="api-operators"),
    path(f"{V2}operators/<str:operator>", agents.OneOperator.as_view(), name="api-operator"),
    path(f"{V2}operators/<str:operator>/status", agents.OperatorStatusView.as_view(), name="api-operator-status"),
    path(f"{V2}operators/<str:operator>/ready", agents.OperatorReady.as_view(), name="api-operator-ready"),
    path(f"{V2}operators/<str:operator>/why", why.OperatorWhy.as_view(), name="api-operator-why"),
    path(f"{V2}attempts", attempts.Attempts.as_view(), name="api-attempts"),
    path(f"{V2}attempts/<str:attempt>", attempts.OneAttempt.as_view(), name="api-attempt"),
    path(f"{V2}attempts/<str:attempt>/hangup", attempts.AttemptHangUp.as_view(), name="api-attempt-hangup"),
    path(f"{V2}attempts/<str:attempt>/coaching", coaching.AttemptCoaching.as_view(), name="api-attempt-coaching"),
    path(f"{V2}statistics", statistics.AllStatistics.as_view(), name="api-all-statistics"),
    path(f"{V2}live", live.Live.as_view(), name="api-live"),
    path(f"{V2}events", webhooks.Events.as_view(), name="api-events"),
    path(f"{V2}webhooks", webhooks.Webhooks.as_view(), name="api-webhooks"),
    path(WEBHOOK, webhooks.OneWebhook.as_view(), name="api-webhook"),
    path(f"{WEBHOOK}/test", webhooks.WebhookTest.as_view(), name="api-webhook-test"),
    path(f"{WEBHOOK}/deliveries", webhooks.Deliveries.as_view(), name="api-deliveries"),
    path(f"{WEBHOOK}/deliveries/<str:delivery>/again", webhooks.DeliveryAgain.as_view(), name="api-delivery-again"),
    path(f"{V2}dialer", campaigns.Campaigns.as_view(), name="api-campaigns"),
    path(f"{V2}dialer/<str:campaign>", campaigns.OneCampaign.as_view(), name="api-campaign"),
    path(f"{CAMPAIGN}state", campaigns.CampaignRun.as_view(), name="api-campaign-state"),
    path(f"{CAMPAIGN}causes", campaigns.Causes.as_view(), name="api-causes"),
    path(f"{CAMPAIGN}dispositions", campaigns.Dispositions.as_view(), name="api-dispositions"),
    path(f"{CAMPAIGN}tiers", campaigns.Tiers.as_view(), name="api-tiers"),
    path(f"{CAMPAIGN}statistics", campaigns.Statistics.as_view(), name="api-statistics"),
    path(f"{CAMPAIGN}funnel", why.CampaignFunnel.as_view(), name="api-funnel"),
    path(f"{CAMPAIGN}attempts", attempts.CampaignAttempts.as_view(), name="api-campaign-attempts"),
    path(f"{CAMPAIGN}attempts/export", exports.AttemptsExport.as_view(), name="api-attempts-export"),
    path(f"{CAMPAIGN}members", members.Members.as_view(), name="api-members"),
    path(f"{CAMPAIGN}members/count", members.MembersCount.as_view(), name="api-members-count"),
    path(f"{CAMPAIGN}members/reset", members.MembersReset.as_view(), name="api-members-reset"),
    path(f"{CAMPAIGN}members/export", exports.MembersExport.as_view(), name="api-members-export"),
    path(MEMBER, members.OneMember.as_view(), name="api-member"),
    path(f"{MEMBER}/status", members.MemberStatus.as_view(), name="api-member-status"),
    path(f"{MEMBER}/why", why.MemberWhy.as_view(), name="api-member-why"),
    path(f"{MEMBER}/end", members.MemberEnd.as_view(), name="api-member-end"),
    path(f"{MEMBER}/callback", members.MemberCallback.as_view(), name="api-member-callback"),
    path(f"{MEMBER}/communications", members.Communications.as_view(), name="api-communications"),
    path(f"{MEMBER}/communications/<str:communication>", members.OneCommunication.as_view(), name="api-communication"),
    path(f"{CAMPAIGN}do-not-call", do_not_call.CampaignDoNotCall.as_view(), name="api-campaign-do-not-call"),
    path(
        f"{CAMPAIGN}do-not-call/remove",
        do_not_call.CampaignDoNotCallRemove.as_view(),
        name="api-campaign-do-not-call-remove",
    ),
    path(f"{V2}do-not-call", do_not_call.DoNotCallList.as_view(), name="api-do-not-call"),
    path(f"{V2}do-not-call/remove", do_not_call.DoNotCallRemove.as_view(), name="api-do-not-call-remove"),
    path(f"{V2}do-not-call/uploads", uploads.DoNotCallUploads.as_view(), name="api-do-not-call-uploads"),
    path(f"{V2}do-not-call/<str:entry>", do_not_call.OneDoNotCall.as_view(), name="api-do-not-call-entry"),
    path(f"{CAMPAIGN}uploads", uploads.CampaignUploads.as_view(), name="api-uploads"),
    path(UPLOAD, uploads.OneUpload.as_view(), name="api-upload"),
    path(f"{UPLOAD}/preview", uploads.UploadPreview.as_view(), name="api-upload-preview"),
    path(f"{UPLOAD}/check", uploads.UploadCheck.as_view(), name="api-upload-check"),
    path(f"{UPLOAD}/load", uploads.UploadLoad.as_view(), name="api-upload-load"),
    path(f"{UPLOAD}/cancel", uploads.UploadCancel.as_view(), name="api-upload-cancel"),
    path(f"{UPLOAD}/undo", uploads.UploadUndo.as_view(), name="api-upload-undo"),
    path(f"{UPLOAD}/faults", uploads.UploadFaults.as_view(), name="api-upload-faults"),
    path(f"{UPLOAD}/rejected", uploads.UploadRejected.as_view(), name="api-upload-rejected"),
    path(f"{V2}upload-templates", uploads.UploadTemplates.as_view(), name="api-upload-templates"),
    path(f"{V2}upload-templates/<str:template>", uploads.OneUploadTemplate.as_view(), name="api-upload-template"),
    path(f"{V2}openapi.json", docs.openapi, name="api-openapi"),
    path("api/docs", docs.swagger, name="api-docs"),
    path("api/redoc", docs.redoc, name="api-redoc"),
    # Last: whatever else begins with api has the shape of a problem too.
    re_path(r"^api(?:/(?P<path>.*))?$", errors.not_found),
]
