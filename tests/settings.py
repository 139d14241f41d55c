"""The settings of the tests: a throwaway PostgreSQL and Redis, shared by the workers of one run.

The process that was started by hand starts them. Workers of pytest-xdist are its children: they find the addresses in
the environment and take a Redis database each, as pytest-django gives each a PostgreSQL database of its own.
"""

import os
import secrets

from dialer import embedded

worker = os.environ.get("PYTEST_XDIST_WORKER", "")
services = None
if unset := embedded.unset():
    services = embedded.start(f"test-{secrets.token_hex(4)}", throwaway=True, needs=unset)
    os.environ.update({key: services.environ()[key] for key in unset})
if worker:
    os.environ["REDIS_URL"] = os.environ["REDIS_URL"].replace("db=0", f"db={1 + int(worker.removeprefix('gw'))}")
os.environ.setdefault("SECRET_KEY", "of-the-tests-alone")

from dialer.settings import *  # noqa: E402, F403

MIDDLEWARE = [name for name in MIDDLEWARE if not name.startswith("whitenoise.")]  # noqa: F405 (nothing is collected)
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
