"""Settings, from the environment.

Any of them may also be given as ``NAME_FILE``, the path of a file that holds the value (for secrets). README.md has the
table. What is wrong stops the start with a message that says what to set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

from dialer import clock, embedded
from dialer.esl import backends
from dialer.esl.errors import BackendMissing

T = TypeVar("T")

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.FileAwareEnv()


def text(name: str, default: str = "") -> str:
    """Return a setting without the line end that a file of secrets has."""
    try:
        return str(env.str(name, default=default)).strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE names a file that cannot be read: {error}") from error


def typed(name: str, default: T, read: Callable[[str], T], advice: str) -> T:
    """Return a setting of another type than text. Raises ``ImproperlyConfigured`` with the advice."""
    given = text(name)
    if not given:
        return default
    try:
        return read(given)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is “{given}”. {advice}") from error


def switch(name: str, default: bool = False) -> bool:
    """Return a setting that is on or off."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    advice = "Set it to true or false."

    def read(given: str) -> bool:
        if given.lower() not in words:
            raise ValueError(given)
        return words[given.lower()]

    return typed(name, default, read, advice)


def number(name: str, default: int, low: int, high: int) -> int:
    """Return a setting that is a whole number from ``low`` to ``high``."""

    def read(given: str) -> int:
        if not low <= int(given) <= high:
            raise ValueError(given)
        return int(given)

    return typed(name, default, read, f"Set it to a whole number from {low} to {high}.")


def words(name: str, default: str = "") -> list[str]:
    """Return a setting that is a list, separated by commas."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


# This installation

DATA_DIR = embedded.data_dir()
"""What is kept beside the database: keys, logs, schedules."""
DEBUG = switch("DEBUG")
try:
    SECRET_KEY = text("SECRET_KEY") or embedded.keep_once(DATA_DIR / "secret-key", get_random_secret_key)
except OSError as error:
    raise ImproperlyConfigured(
        f"The data folder {DATA_DIR} cannot be written ({error}). Set DATA_DIR to one that can, or set SECRET_KEY."
    ) from error

# Web

PORT = number("PORT", 8000, 1, 65535)
BIND_ADDRESS = text("BIND_ADDRESS", "127.0.0.1")
ALLOWED_HOSTS = words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = words("CSRF_TRUSTED_ORIGINS")
if switch("HTTPS"):
    # Behind a proxy that ends TLS and sets this header itself.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 30 * 24 * 3600
    # Asked by the switch and by probes from inside, past the proxy.
    SECURE_REDIRECT_EXEMPT = [r"^cdr$", r"^freeswitch/", r"^healthz$", r"^readyz$", r"^metrics$"]
ROOT_URLCONF = "dialer.urls"
ASGI_APPLICATION = "dialer.asgi.application"
LOGIN_URL = "login"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "import_export",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "campaigns",
    "agents",
    "members",
    "members.uploads",
    "dialer",
    "dialer.sockets",
    "dialer.webhooks",
    "dialer.api",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "dialer.middleware.ContentSecurityPolicyMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{validator}"}
    for validator in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

AUTHENTICATION_BACKENDS = ["dialer.api.guard.GuardBackend", "django.contrib.auth.backends.ModelBackend"]

# REST interface

API_REQUESTS_PER_MINUTE = number("API_REQUESTS_PER_MINUTE", 6000, 1, 1_000_000)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "dialer.api.authentication.KeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["dialer.api.roles.ByRole"],
    "DEFAULT_THROTTLE_CLASSES": ["dialer.api.throttles.PerKey"],
    "DEFAULT_PARSER_CLASSES": ["dialer.api.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "dialer.api.negotiation.JsonAlone",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "dialer.api.description.Description",
    "EXCEPTION_HANDLER": "dialer.api.errors.answer",
    "NON_FIELD_ERRORS_KEY": "body",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Progressive dialer",
    "VERSION": "2",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v2",
    "POSTPROCESSING_HOOKS": ["dialer.api.description.finish"],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}

# Events and webhooks

EVENTS_KEPT_DAYS = number("EVENTS_KEPT_DAYS", 30, 1, 3650)
WEBHOOKS_AT_ONCE = number("WEBHOOKS_AT_ONCE", 2, 1, 1000)
"""Subscriptions served at the same time: fewer than the threads of all default workers, which have other work too."""

# Uploads of lists

UPLOADS_DIR = Path(text("UPLOADS_DIR") or DATA_DIR / "uploads")
"""Where files of lists are kept: the web writes them, the workers read them."""
UPLOAD_LIMIT_MB = number("UPLOAD_LIMIT_MB", 512, 1, 102_400)
"""How large a file may be."""
UPLOADS_KEPT_DAYS = number("UPLOADS_KEPT_DAYS", 30, 1, 3650)

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# A campaign's page in the admin has a row of fields for each of its operators.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000

# Time and language. Everything stored is UTC; wall clocks exist only in campaigns/hours.py.

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = True
LANGUAGES = [("en", "English"), ("uk", "Українська")]
LANGUAGE_CODE = text("LANGUAGE_CODE", "en")
if LANGUAGE_CODE not in dict(LANGUAGES):
    raise ImproperlyConfigured(f"LANGUAGE_CODE is “{LANGUAGE_CODE}”; it must be one of: {', '.join(dict(LANGUAGES))}.")
LOCALE_PATHS = [BASE_DIR / "locale"]
CLOCK_IS_REAL = clock.FACTOR == 1 and not os.environ.get("CLOCK_START")

# PostgreSQL and Redis

EMBEDDED = bool(embedded.unset())
_DATABASE_URL = text("DATABASE_URL") or embedded.addresses().database_url
REDIS_URL = text("REDIS_URL") or embedded.addresses().redis_url

_database: dict[str, Any] = environ.FileAwareEnv.db_url_config(_DATABASE_URL)
if _database.get("ENGINE") != "django.db.backends.postgresql":
    raise ImproperlyConfigured(
        "DATABASE_URL must name a PostgreSQL database, for example postgresql://user:password@localhost/dialer. "
        "Leave it unset for the embedded one."
    )
if urlsplit(REDIS_URL).scheme not in {"redis", "rediss", "unix"}:
    raise ImproperlyConfigured(
        "REDIS_URL must begin with redis://, rediss:// or unix://, for example redis://localhost:6379/0. "
        "Leave it unset for the embedded one."
    )
_options: dict[str, Any] = _database.setdefault("OPTIONS", {})
if "host" in _options:  # the folder of a unix socket, as PostgreSQL's own tools write it
    _database["HOST"] = _options.pop("host")
_options.setdefault("connect_timeout", 5)
# Workers hold their connections. A web server would leave them behind in the threads of past requests: it has a pool.
if switch("DATABASE_POOL"):
    _options["pool"] = {"min_size": 1, "max_size": 10, "timeout": 10}
else:
    _database["CONN_MAX_AGE"] = 600
_database["CONN_HEALTH_CHECKS"] = True
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The switch

SIMULATED = not text("FREESWITCH_URL")
FREESWITCH_URL = text("FREESWITCH_URL") or text("SIMULATOR_URL")
"""Event sockets, ``esl://:password@host:8021``, several separated by commas. ``manage.py run`` and ``rehearse`` start
the simulator and give its address to the other processes as SIMULATOR_URL."""
# The same at each run: the ledger knows a switch by its address.
SIMULATOR_PORT = number("SIMULATOR_PORT", 18021, 1, 65535)
SIMULATOR_SCENARIO = text("SIMULATOR_SCENARIO", "demo")
RECORDINGS_DIR = text("RECORDINGS_DIR", "/var/lib/freeswitch/recordings").rstrip("/")
"""The folder of the switch below which conversations are recorded."""
if not re.fullmatch(r"(/[A-Za-z0-9_.-]+)+", RECORDINGS_DIR) or ".." in RECORDINGS_DIR:
    raise ImproperlyConfigured(
        f"RECORDINGS_DIR is “{RECORDINGS_DIR}”. Set it to the whole path of a folder of the switch: letters, digits, "
        "“_”, “-”, “.” and “/”."
    )
ESL_BACKEND = text("ESL_BACKEND") or "own"
"""Who speaks event socket: ``own``, or ``python-esl`` (the C library of FreeSWITCH)."""
try:
    backends.connection_class(ESL_BACKEND)
except (ValueError, BackendMissing) as error:
    raise ImproperlyConfigured(str(error)) from error

# Phones of operators

SIP_DOMAIN = text("SIP_DOMAIN", "dialer.local")
"""The domain that phones register at. Their passwords are hashed with it: another one makes them void."""
if not re.fullmatch(r"[A-Za-z0-9.-]{1,253}", SIP_DOMAIN):
    raise ImproperlyConfigured(f"SIP_DOMAIN is “{SIP_DOMAIN}”. Set it to a domain name, for example sip.example.org.")
PHONE_WSS_URL = text("PHONE_WSS_URL")
"""Where browsers reach the switch, for phones in the page; unset: there are none."""
if PHONE_WSS_URL and not re.fullmatch(
    r"wss?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?", PHONE_WSS_URL
):
    raise ImproperlyConfigured(
        f"PHONE_WSS_URL is “{PHONE_WSS_URL}”. Set it to the switch's secure WebSocket, for example "
        "wss://sip.example.org:7443."
    )
PHONE_LOGIN_MINUTES = number("PHONE_LOGIN_MINUTES", 60, 5, 24 * 60)
"""How long a phone in the page may register with a secret; it asks for the next one before."""
PHONE_ICE_SERVERS = words("PHONE_ICE_SERVERS")
"""STUN and TURN servers for phones in the page."""
for _server in PHONE_ICE_SERVERS:
    if not re.fullmatch(
        r"(stun|turn)s?:([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(\?transport=(udp|tcp))?", _server
    ):
        raise ImproperlyConfigured(
            f"PHONE_ICE_SERVERS has “{_server}”. Set it to addresses separated by commas, for example "
            "stun:stun.example.org:3478,turns:turn.example.org:443?transport=tcp."
        )
PHONE_TURN_SECRET = text("PHONE_TURN_SECRET")
"""What the TURN servers share with us (coturn's static-auth-secret): each phone gets a log-in that passes."""
PHONE_TRANSFERS = switch("PHONE_TRANSFERS")
"""Whether the switch lets phones send a call on to a colleague, which it decides itself; the page shows its buttons."""
DIRECTORY_PASSWORD = text("DIRECTORY_PASSWORD")
"""With it the switch asks for its users at /freeswitch/directory; unset: nobody gets an answer."""
CDR_PASSWORD = text("CDR_PASSWORD")
"""With it the switch posts its call records to /cdr; unset: none is taken."""
CDRS_KEPT_DAYS = number("CDRS_KEPT_DAYS", 90, 1, 3650)

# Figures for machines

METRICS_TOKEN = text("METRICS_TOKEN")
"""With it /metrics is given to who sends it as a bearer's; unset: to this machine alone."""
METRICS_LOG = switch("METRICS_LOG", text("LOG_FORMAT", "text") == "json")
"""Whether the same figures are logged each minute."""

# Celery

CELERY_BROKER_URL = embedded.celery_url(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "health_check_interval": 10}
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "dialer.engine.tasks.dispatch": {"queue": "dial"},
    "members.uploads.tasks.work": {"queue": "uploads"},
    # where the files are
    "members.uploads.tasks.forget": {"queue": "uploads"},
}
CELERY_TASK_IGNORE_RESULT = True
# A message only wakes: one that is lost with its worker is made good by the next tick, one done twice finds nothing.
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "beat-schedule")
CELERY_BEAT_SCHEDULE = {
    # Ticks that no worker took in time fall away, so they never pile up.
    "dispatch": {"task": "dialer.engine.tasks.dispatch", "schedule": 1.0, "options": {"expires": 1, "queue": "dial"}},
    "tidy": {"task": "dialer.engine.tasks.tidy", "schedule": 2.0, "options": {"expires": 2}},
    "abandonment": {"task": "dialer.engine.tasks.mind_abandonment", "schedule": 60.0, "options": {"expires": 60}},
    "rezone": {"task": "dialer.engine.tasks.rezone", "schedule": 30.0, "options": {"expires": 30}},
    "clients": {"task": "dialer.sockets.tasks.sweep", "schedule": 5.0, "options": {"expires": 5}},
    "uploads": {"task": "members.uploads.tasks.sweep", "schedule": 5.0, "options": {"expires": 5}},
    "forget-uploads": {"task": "members.uploads.tasks.forget", "schedule": 3600.0, "options": {"expires": 3600}},
    "forget": {"task": "dialer.api.tasks.forget", "schedule": 3600.0, "options": {"expires": 3600}},
    "forget-records": {"task": "dialer.engine.tasks.forget_records", "schedule": 3600.0, "options": {"expires": 3600}},
    "webhooks": {"task": "dialer.webhooks.tasks.sweep", "schedule": 1.0, "options": {"expires": 1}},
    "forget-events": {"task": "dialer.webhooks.tasks.forget", "schedule": 3600.0, "options": {"expires": 3600}},
}

if METRICS_LOG:
    CELERY_BEAT_SCHEDULE["figures"] = {
        "task": "dialer.web.tasks.log_figures", "schedule": 60.0, "options": {"expires": 60}
    }  # fmt: skip

# WebSockets. Not the default layer: a socket lives without the broker, which only wakes.

CHANNEL_LAYERS = {
    "wakes": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}},
}

# Logs: events with keys, to the standard error output

LOG_LEVEL = text("LOG_LEVEL", "INFO").upper()
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
    raise ImproperlyConfigured(f"LOG_LEVEL is “{LOG_LEVEL}”. Set it to DEBUG, INFO, WARNING, ERROR or CRITICAL.")
LOG_FORMAT = text("LOG_FORMAT", "text")
if LOG_FORMAT not in {"text", "json"}:
    raise ImproperlyConfigured(f"LOG_FORMAT is “{LOG_FORMAT}”. Set it to text or json.")
_own: dict[str, Any] = {"handlers": [], "propagate": True, "level": "NOTSET"}
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"()": "dialer.logs.TextFormatter"},
        "json": {"()": "dialer.logs.JsonFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # These bring handlers of their own.
        "django": _own,
        "django.server": _own,
        "uvicorn": _own,
        "uvicorn.error": _own,
        "uvicorn.access": _own,
        # A line for each tick of the dial loop says nothing.
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
    },
}
