"""The REST interface: keys, roles, errors, paging and the description; the apps' own ``api.py`` hold the endpoints."""
