"""Access to the Hugging Face Hub when it may be unreachable: its client tries for up to a minute before it gives up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 3.0
"""Seconds that the Hub has to answer."""


@contextmanager
def cached_if_unreachable(endpoint: str | None = None) -> Iterator[None]:
    """Make the Hub's client use only its cache if the Hub does not answer; a file that is not cached is then an error
    at once. If the Hub answers, the client is unchanged.

    Args:
        endpoint: address of the Hub; by default the client's own, https://huggingface.co or HF_ENDPOINT.
    """
    from huggingface_hub import constants

    if constants.is_offline_mode() or _answers(endpoint or constants.ENDPOINT):
        yield
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False


def _answers(endpoint: str) -> bool:
    from huggingface_hub import get_session

    try:
        get_session().head(endpoint, timeout=PATIENCE)
    except Exception:  # the client's network library differs by version
        return False
    return True
