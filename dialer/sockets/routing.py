"""The addresses of the sockets."""

from channels.routing import URLRouter
from django.urls import path, re_path

from dialer.sockets.consumers import LiveSocket, Nowhere, OperatorSocket

websocket = URLRouter(
    [
        path("ws/operator/", OperatorSocket.as_asgi()),
        path("ws/live/", LiveSocket.as_asgi()),
        re_path("", Nowhere.as_asgi()),
    ]
)
