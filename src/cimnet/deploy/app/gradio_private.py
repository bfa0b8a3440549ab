"""The six places where the page relies on private parts of gradio; no other module does.

Checked with 6.31; `pyproject.toml` allows no later minor release until these are checked again. A part that is gone
is an error when the page is built, so that no bound is lost silently; tests/deploy/app try what each of them is for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from cimnet.errors import ConfigError
from cimnet.utils.extras import install


def refuse_addresses(file: gr.File) -> None:
    """Make an upload refuse a path that is an address on the web: gradio would fetch it, whoever sends it, before any
    function of the page is called, and has no setting against it.

    Raises:
        ConfigError: gradio has changed.
    """
    _require(file, "async_move_resource_to_block_cache")
    move = file.async_move_resource_to_block_cache

    async def only_files(url_or_file_path: str | Path | None) -> str | None:
        if "://" in str(url_or_file_path):
            raise gr.Error("an address where an uploaded file is expected", print_exception=False)
        return await move(url_or_file_path)

    file.async_move_resource_to_block_cache = only_files  # type: ignore[method-assign]  # there is no hook


def check_paths(page: gr.Blocks) -> None:
    """Make gradio look whether a path from the browser lies in its upload folder. It does so only where `launch` was
    called, and a page that is mounted is not launched.

    Raises:
        ConfigError: gradio has changed.
    """
    _require(page, "has_launched")
    page.has_launched = True


def keep_streams_open(page: gr.Blocks) -> None:
    """Keep a session's stream of events open between events. Gradio closes it when none is under way; what the browser
    sends before it knows is never answered, and the page hangs. To be called behind `page.queue`.

    Raises:
        ConfigError: gradio has changed.
    """
    _require(page, "_queue")
    _require(page._queue, "pending_event_ids_session")
    page._queue.pending_event_ids_session = _NeverEmpty()


def bound_sessions(page: gr.Blocks, most: int) -> None:
    """Keep the states of this many sessions, not of ten thousand. To be called before the page is mounted.

    Raises:
        ConfigError: gradio has changed.
    """
    _require(page, "state_session_capacity")
    page.state_session_capacity = most


def event_inputs(page: gr.Blocks, number: int) -> list[Any] | None:
    """The components whose values an event takes; None: there is no such event.

    Raises:
        ConfigError: gradio has changed.
    """
    _require(page, "fns")
    event = page.fns.get(number)
    return None if event is None else list(event.inputs)


def cache_folder(block: gr.Blocks | gr.components.Component) -> Path:
    """The folder from which gradio serves files, and which `serve` removes at its end.

    Raises:
        ConfigError: gradio has changed.
    """
    _require(block, "GRADIO_CACHE")
    return Path(block.GRADIO_CACHE)


class _NeverEmpty(dict[str, set[str]]):
    """Events under way by session, with one that is none."""

    def __setitem__(self, session: str, events: set[str]) -> None:
        super().__setitem__(session, {*events, "open"})


def _require(owner: object, name: str) -> None:
    if not hasattr(owner, name):
        what = f"{type(owner).__name__}.{name}"
        raise ConfigError(
            f"gradio {gr.__version__}: has no {what} any more, which the page's bounds need; "
            f"install the release that cimnet asks for: {install('app')}"
        )
