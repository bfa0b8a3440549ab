"""Deliberate wrong changes to the code, and the tests that must see them."""
