#!/usr/bin/env python
"""Django's command line, with the embedded servers behind it unless the environment names others."""

import os
import sys

from dialer import embedded

# Those that need no database, start one by themselves, or only look whether there is one.
WITHOUT_DATABASE = {
    "check", "collectstatic", "healthcheck", "help", "makemessages", "rehearse", "run", "simulate", "version",
}  # fmt: skip


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dialer.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed in this Python. Run “make setup”, then “.venv/bin/python manage.py …”.")
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if command not in WITHOUT_DATABASE and "--help" not in sys.argv:
        try:
            embedded.use()
        except embedded.EmbeddedError as error:
            sys.exit(str(error))
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
