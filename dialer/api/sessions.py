"""Log-in, log-out, and keys."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import auth
from django.contrib.auth import get_user_model
from django.http import HttpResponseRedirect
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, NotFound, PermissionDenied, ValidationError
from rest_framework.response import Response

from dialer import clock
from dialer.api import actions, guard
from dialer.api.errors import Locked
from dialer.api.fields import Body, ModelBody, Moment, Text
from dialer.api.models import AccessKey, AccessKeyQuerySet
from dialer.api.roles import ANYONE, SIGNED_IN
from dialer.api.views import Endpoint


class LogInBody(Body):
    username = Text(max_length=150)
    password = Text(max_length=4096, trim_whitespace=False)


class LogInAnswer(serializers.Serializer):
    key = serializers.UUIDField(help_text="Send it as X-Key.")
    token = serializers.CharField(help_text="Send it as X-Access-Token. It is shown this once.")
    expires = serializers.DateTimeField()


@extend_schema(tags=["access"])
class LogIn(Endpoint):
    needs: ClassVar = {"POST": ANYONE}
    authentication_classes: ClassVar[list[Any]] = []

    def handle_exception(self, exc: Exception) -> Any:
        """Send a person who typed the address to the page."""
        if self.request.method == "GET" and "text/html" in self.request.headers.get("Accept", ""):
            return HttpResponseRedirect("/login/")
        return super().handle_exception(exc)

    @extend_schema(
        operation_id="log_in", request=LogInBody, responses={200: LogInAnswer}, auth=[],
        summary="Log in",
        examples=[OpenApiExample("A log-in", value={"username": "crm", "password": "…"}, request_only=True)],
    )  # fmt: skip
    def post(self, request: Any) -> Response:
        """Name and password for a key and its token, which open the interface for a day.

        After ten wrong passwords of an account from one address within a quarter of an hour it is locked for that
        address until the quarter is over; `Retry-After` tells how long.
        """
        given = self.read(LogInBody)
        user = auth.authenticate(request._request, **given)
        if user is None:
            if seconds := getattr(request._request, "locked_for", 0):
                raise Locked(seconds, _("Too many wrong passwords."))
            raise AuthenticationFailed(_("The name or the password is wrong."))
        guard.succeeded(request._request, given["username"])
        made = actions.log_in(user)
        return Response({"key": made.key.pk, "token": made.token, "expires": _moment(made.key.expires_at)})


@extend_schema(tags=["access"])
class LogOut(Endpoint):
    needs: ClassVar = {"POST": SIGNED_IN}

    @extend_schema(operation_id="log_out", request=None, responses={204: None}, summary="Log out")
    def post(self, request: Any) -> Response:
        """Revoke the key that this request was sent with."""
        if isinstance(request.auth, AccessKey):
            actions.revoke_keys(AccessKey.objects.filter(pk=request.auth.pk), by=request.user)
        else:
            auth.logout(request._request)
        return Response(status=204)


class KeyView(serializers.ModelSerializer):
    user = serializers.CharField(source="user.username", help_text="Whose rights it has.")
    created = serializers.DateTimeField(source="created_at")
    expires = serializers.DateTimeField(source="expires_at")
    last_used = serializers.DateTimeField(source="last_used_at", allow_null=True, help_text="To the minute.")
    revoked = serializers.DateTimeField(source="revoked_at", allow_null=True)
    state = serializers.ChoiceField(["active", "expired", "revoked"])

    class Meta:
        model = AccessKey
        fields: ClassVar = ["id", "name", "user", "created", "expires", "last_used", "revoked", "state"]


class NewKeyView(KeyView):
    token = serializers.CharField(
        allow_null=True, help_text="Shown this once; null in the repetition of a request with an Idempotency-Key."
    )

    class Meta(KeyView.Meta):
        fields: ClassVar = [*KeyView.Meta.fields, "token"]


class NewKeyBody(Body):
    name = Text(max_length=120, help_text="What it is for.")
    expires = Moment(help_text="At most ten years ahead.")
    user = Text(max_length=150, required=False, help_text="Whose rights it has; administrators alone may name others.")


class KeyBody(ModelBody):
    name = Text(max_length=120)
    expires = Moment(source="expires_at", help_text="Earlier than until now.")

    class Meta:
        model = AccessKey
        fields: ClassVar = ["name", "expires"]


def _moment(instant: Any) -> str:
    return str(serializers.DateTimeField().to_representation(instant))


def _keys_of(user: Any) -> AccessKeyQuerySet:
    """The keys that a user may see: his own, or all."""
    keys = AccessKey.objects.all().select_related("user")
    return keys if user.has_perm("access.view_accesskey") else keys.filter(user=user.pk)


@extend_schema(tags=["access"])
class Keys(Endpoint):
    needs: ClassVar = {"GET": SIGNED_IN, "POST": ("access.add_accesskey",)}
    secret: ClassVar = ("token",)
    renamed: ClassVar = {"expires_at": "expires"}

    @extend_schema(operation_id="list_keys", responses=KeyView(many=True), summary="List keys")
    def get(self, request: Any) -> Response:
        """Those that are active, the newest first: your own, or everybody's for an administrator."""
        keys = _keys_of(request.user).usable(clock.now())
        return Response(KeyView(keys[:1000], many=True).data)

    @extend_schema(operation_id="create_key", request=NewKeyBody, responses={201: NewKeyView}, summary="Make a key")
    def post(self, request: Any) -> Response:
        """For a program that runs longer than a log-in lasts."""
        given = self.read(NewKeyBody)
        user = self._user(request.user, given.get("user"))
        made = actions.create_key(user, given["name"], given["expires"], by=request.user)
        return Response({**KeyView(made.key).data, "token": made.token}, 201)

    @staticmethod
    def _user(asking: Any, name: str | None) -> Any:
        if name is None or name == asking.get_username():
            return asking
        if not asking.has_perm("access.view_accesskey"):
            raise PermissionDenied(_("Only an administrator makes keys for others."))
        user = get_user_model().objects.filter(username=name, is_active=True).first()
        if user is None:
            raise ValidationError({"user": [_("There is no such active user.")]})
        if user.is_superuser and not asking.is_superuser:
            raise PermissionDenied(_("Only a superuser makes keys for superusers."))
        return user


@extend_schema(tags=["access"])
class Key(Endpoint):
    needs: ClassVar = {"GET": SIGNED_IN, "PATCH": SIGNED_IN, "DELETE": SIGNED_IN}

    def _key(self, given: str) -> AccessKey:
        try:
            return _keys_of(self.request.user).get(pk=serializers.UUIDField().to_internal_value(given))
        except (AccessKey.DoesNotExist, ValidationError):
            raise NotFound(_("There is no key %s.") % given[:80]) from None

    @extend_schema(operation_id="get_key", responses=KeyView, summary="Show a key")
    def get(self, request: Any, key: str) -> Response:
        """Its name, and when it was used last; never its token."""
        return Response(KeyView(self._key(key)).data)

    @extend_schema(operation_id="update_key", request=KeyBody, responses=KeyView, summary="Rename or shorten a key")
    def patch(self, request: Any, key: str) -> Response:
        """Its expiry can only be brought forward: the token tells it."""
        found = self._key(key)
        return Response(KeyView(actions.update_key(found, **self.read(KeyBody, partly=True))).data)

    @extend_schema(operation_id="revoke_key", responses={204: None}, summary="Revoke a key")
    def delete(self, request: Any, key: str) -> Response:
        """It opens nothing from now on."""
        actions.revoke_keys(AccessKey.objects.filter(pk=self._key(key).pk), by=request.user)
        return Response(status=204)
