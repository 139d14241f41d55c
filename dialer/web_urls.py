"""Where the supervisors' pages are."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from agents import directory
from dialer import cdr, views
from dialer.api.forms import GuardedForm
from dialer.web import (
    campaign_first,
    campaign_operators,
    campaign_routes,
    campaigns,
    metrics,
    operators,
    statistics,
    system,
)
from members import views as lists

urlpatterns = [
    path("", views.live, name="live"),
    path("live.json", views.live_json, name="live-json"),
    path("system/", system.system, name="system"),
    path("system/repairs/", system.repairs, name="system-repairs"),
    path("system/invariants/", system.invariants, name="system-invariants"),
    path("system/invariants/check", system.check_invariants, name="system-check"),
    path("switches/", views.switches, name="switches"),
    path("switches.json", views.switches_json, name="switches-json"),
    path("switches/<int:node_id>/drain", views.drain, name="switch-drain"),
    path("switches/<int:node_id>/resume", views.resume, name="switch-resume"),
    path("operators/", operators.operators, name="operators"),
    path("operators.json", operators.operators_json, name="operators-json"),
    path("operators/new/", operators.add, name="operator-add"),
    path("operators/<int:operator_id>/", operators.operator, name="operator"),
    path("operators/<int:operator_id>/now", operators.operator_now, name="operator-now"),
    path("operators/<int:operator_id>/why", operators.operator_why, name="operator-why"),
    path("operators/<int:operator_id>/edit/", operators.edit, name="operator-edit"),
    path("operators/<int:operator_id>/status", operators.change_status, name="operator-status"),
    path("operators/<int:operator_id>/ready", operators.ready, name="operator-ready"),
    path("operators/<int:operator_id>/end-break", operators.end_break, name="operator-end-break"),
    path("operators/calls/<int:attempt_id>/hang-up", operators.hang_up, name="operator-hang-up"),
    path("campaigns/new/", campaigns.new, name="campaign-new"),
    path("campaigns/first/", campaign_first.first, name="campaign-first"),
    path("campaigns/first/<int:campaign_id>/", campaign_first.first, name="campaign-first-of"),
    path("campaigns/<int:campaign_id>/", campaigns.general, name="campaign"),
    path("campaigns/<int:campaign_id>/clone/", campaigns.clone, name="campaign-clone"),
    path("campaigns/<int:campaign_id>/delete/", campaigns.delete, name="campaign-delete"),
    path("campaigns/<int:campaign_id>/parameters/", campaigns.parameters, name="campaign-parameters"),
    path("campaigns/<int:campaign_id>/variables/", campaigns.variables, name="campaign-variables"),
    path("campaigns/<int:campaign_id>/causes/", campaigns.causes, name="campaign-causes"),
    path("campaigns/<int:campaign_id>/causes/restore", campaigns.restore_causes, name="campaign-causes-restore"),
    path("campaigns/<int:campaign_id>/operators/", campaign_operators.operators, name="campaign-operators"),
    path("campaigns/<int:campaign_id>/operators/found", campaign_operators.search, name="campaign-operators-found"),
    path("campaigns/<int:campaign_id>/operators/add", campaign_operators.add, name="campaign-operators-add"),
    path("campaigns/<int:campaign_id>/routes/", campaign_routes.routes, name="campaign-routes"),
    path("campaigns/<int:campaign_id>/routes/new/", campaign_routes.add, name="campaign-route-add"),
    path("campaigns/<int:campaign_id>/routes/<int:route_id>/", campaign_routes.edit, name="campaign-route"),
    path("campaigns/<int:campaign_id>/routes/<int:route_id>/move", campaign_routes.move, name="campaign-route-move"),
    path(
        "campaigns/<int:campaign_id>/routes/<int:route_id>/delete", campaign_routes.delete, name="campaign-route-delete"
    ),
    path("campaigns/<int:campaign_id>/run", views.run, name="campaign-run"),
    path("campaigns/<int:campaign_id>/stop", views.stop, name="campaign-stop"),
    path("campaigns/<int:campaign_id>/export/", lists.export, name="export"),
    path("campaigns/<int:campaign_id>/statistics/", statistics.of_campaign, name="statistics"),
    path("statistics/", statistics.everything, name="all-statistics"),
    path("", include("members.uploads.urls")),
    path("do-not-call/", lists.do_not_call, name="do-not-call"),
    path("do-not-call/<int:entry_id>/remove", lists.remove_do_not_call, name="do-not-call-remove"),
    path(
        "login/",
        LoginView.as_view(next_page="live", redirect_authenticated_user=True, authentication_form=GuardedForm),
        name="login",
    ),
    path("logout/", LogoutView.as_view(next_page="login"), name="logout"),
    path("freeswitch/directory", directory.serve, name="freeswitch-directory"),
    path("cdr", cdr.receive, name="cdr"),
    path("metrics", metrics.metrics, name="metrics"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
]
