"""What may speak event socket for us, by the names of the setting ESL_BACKEND."""

from __future__ import annotations

from dialer.esl.client import Connection


def connection_class(name: str) -> type[Connection]:
    """Return the connection of a backend; all keep to the contract of ``Connection``.

    ``ValueError`` on a name that is none, ``BackendMissing`` when what it stands on is not installed; both say what to
    do.
    """
    match name:
        case "own":
            return Connection
        case "python-esl":
            from dialer.esl.python_esl import LibraryConnection  # only where it is wanted, since few have it

            return LibraryConnection
    raise ValueError(f"ESL_BACKEND is “{name}”. Set it to own (the default) or python-esl.")
