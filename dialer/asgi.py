"""The entry of the web server."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dialer.settings")
os.environ.setdefault("DATABASE_POOL", "true")

http = get_asgi_application()

from dialer.api.limits import BodyLimit  # noqa: E402
from dialer.heartbeats import WebHeartbeat  # noqa: E402
from dialer.sockets.routing import websocket  # noqa: E402 (models can be imported now)

application = ProtocolTypeRouter({"http": WebHeartbeat(BodyLimit(http)), "websocket": websocket})
