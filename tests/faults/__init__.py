"""Faults that users' files may have, as a table, and inputs made at random."""
