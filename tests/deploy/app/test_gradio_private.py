"""What the page needs of gradio's own parts: they are there, their loss is an error, and no other module uses them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

gradio = pytest.importorskip("gradio")
import cimnet.deploy.app  # noqa: E402
from cimnet.deploy.app import gradio_private  # noqa: E402
from cimnet.errors import ConfigError  # noqa: E402


@pytest.fixture
def page() -> Any:
    with gradio.Blocks(analytics_enabled=False) as page:
        gradio.File(elem_id="file")
    return page.queue()


def test_gradio_still_has_what_the_page_needs(page: Any) -> None:
    file = next(block for block in page.blocks.values() if isinstance(block, gradio.File))
    before = file.async_move_resource_to_block_cache
    gradio_private.refuse_addresses(file)
    assert file.async_move_resource_to_block_cache != before
    assert page.has_launched is False
    gradio_private.check_paths(page)
    assert page.has_launched is True
    gradio_private.keep_streams_open(page)
    page._queue.pending_event_ids_session["session"] = set()
    assert page._queue.pending_event_ids_session["session"]
    assert gradio_private.cache_folder(file).name


class _Changed:
    """A gradio that has lost its parts."""


class _OtherQueue:
    _queue = _Changed()


@pytest.mark.parametrize(
    ("use", "without", "lost"),
    [
        (gradio_private.refuse_addresses, _Changed(), "_Changed.async_move_resource_to_block_cache"),
        (gradio_private.check_paths, _Changed(), "_Changed.has_launched"),
        (gradio_private.keep_streams_open, _Changed(), "_Changed._queue"),
        (gradio_private.keep_streams_open, _OtherQueue(), "_Changed.pending_event_ids_session"),
        (gradio_private.cache_folder, _Changed(), "_Changed.GRADIO_CACHE"),
    ],
)
def test_a_part_that_is_gone_is_one_clear_error(use: Any, without: Any, lost: str) -> None:
    with pytest.raises(ConfigError, match=rf'^gradio [\d.]+: has no {re.escape(lost)} any more.*"cimnet\[app\]"$'):
        use(without)


def test_no_other_module_touches_them() -> None:
    room = Path(cimnet.deploy.app.__file__).parent
    marks = ("._queue", "has_launched", "async_move_resource", "GRADIO_CACHE", "method-assign")
    found = [
        f"{path.name}: {mark}"
        for path in room.glob("*.py")
        if path.name != "gradio_private.py"
        for mark in marks
        if mark in path.read_text(encoding="utf-8")
    ]
    assert found == []
