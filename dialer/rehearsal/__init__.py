"""Rehearsals: a scenario played through the whole stack, on a database and a broker of its own."""
