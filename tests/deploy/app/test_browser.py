"""The page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")

from cimnet.deploy.app.example_pairs import example  # noqa: E402
from cimnet.deploy.app.uploads import Limits  # noqa: E402
from cimnet.inference import load  # noqa: E402
from tests.conftest import Trained  # noqa: E402

from .serving import served  # noqa: E402
from .test_uploads import bomb  # noqa: E402

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT = 60_000  # milliseconds, for a busy machine

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def address(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        with served(load(trained.best, "cpu"), Limits(megabytes=0.5)) as address:
            yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page with its first example segmented; asked for nothing from other hosts."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT)
    page = context.new_page()
    foreign: list[str] = []
    page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:")) else foreign.append(r.url))
    page.goto(address)
    page.wait_for_selector("#legend li")
    yield page
    context.close()
    assert not foreign


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Files of a pair that the page does not have."""
    shown = example("Night")
    assert shown.rgb is not None
    assert shown.thermal is not None
    rgb, thermal = tmp_path / "street.png", tmp_path / "street_thermal.png"
    Image.fromarray(shown.rgb[:192, :256]).save(rgb)
    Image.fromarray((shown.thermal[:192, :256] * 255).round().astype(np.uint8)).save(thermal)
    return rgb, thermal


def upload(page: Any, key: str, path: Path) -> None:
    page.set_input_files(f"#{key} input[type=file]", str(path))


def saved(page: Any, key: str, folder: Path) -> Any:
    """Press a button and read what the browser got."""
    with page.expect_download() as waiting:
        page.click(f"#save_{key}")
    target = folder / waiting.value.suggested_filename
    waiting.value.save_as(target)
    with Image.open(target) as image:
        return np.array(image)


def status(page: Any, text: str) -> None:
    page.wait_for_function(f"document.querySelector('#status').innerText.includes({text!r})")


def test_upload_slide_and_save(page: Any, pair: tuple[Path, Path], trained: Trained, tmp_path: Path) -> None:
    predictor = load(trained.best, "cpu")
    upload(page, "rgb", pair[0])
    status(page, "no thermal image")
    upload(page, "thermal", pair[1])
    page.wait_for_function(
        "(t => t.includes('256×192') && !t.includes('no thermal'))(document.querySelector('#status').innerText)"
    )
    mask = saved(page, "ids", tmp_path)
    np.testing.assert_array_equal(mask, predictor.predict(*pair))
    colors = np.array(predictor.colors, np.uint8)
    np.testing.assert_array_equal(saved(page, "colors", tmp_path), colors[mask])

    before = page.get_attribute("#overlay img", "src")
    seen = page.get_attribute("#seen_thermal img", "src")
    page.fill("#right input[type=number]", "25")
    page.press("#right input[type=number]", "Tab")
    page.wait_for_function(f"document.querySelector('#seen_thermal img').src != {seen!r}")
    page.wait_for_function(f"document.querySelector('#overlay img').src != {before!r}")
    moved = saved(page, "ids", tmp_path)
    assert (moved != mask).any()

    before = page.get_attribute("#overlay img", "src")
    timed = page.inner_text("#status")
    page.fill("#opacity input[type=number]", "1")
    page.press("#opacity input[type=number]", "Tab")
    page.wait_for_function(f"document.querySelector('#overlay img').src != {before!r}")
    assert page.inner_text("#status") == timed  # the model was not asked
    np.testing.assert_array_equal(saved(page, "ids", tmp_path), moved)


def test_bad_files_are_told_and_the_page_lives_on(page: Any, pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    Image.fromarray(np.full((40, 40), np.nan, np.float32)).save(tmp_path / "nan.tif")
    for key, path, told in (
        ("rgb", tmp_path / "text.png", "text.png: not a PNG"),
        ("rgb", bomb(tmp_path / "bomb.png", 3000), "9.0 megapixels"),
        ("rgb", tmp_path / "dot.png", "at least 32"),
        ("thermal", tmp_path / "nan.tif", "thermal values are not finite"),
    ):
        upload(page, key, path)
        page.wait_for_function(f"document.querySelector('#said').innerText.includes({told!r})")
    (tmp_path / "long.png").write_bytes(bytes(900_000))
    upload(page, "rgb", tmp_path / "long.png")
    page.wait_for_selector("text=/exceed|too large|maximum/i")
    page.reload()
    page.wait_for_selector("#legend li")
    Image.open(pair[1]).resize((128, 96)).save(tmp_path / "half.png")
    upload(page, "rgb", pair[0])
    status(page, "no thermal image")
    upload(page, "thermal", tmp_path / "half.png")
    status(page, "The RGB image has 256×192 pixels, the thermal image 128×96")
    page.check("#resize input")
    status(page, "256×192 pixels · model")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_on_a_phone(browser: Any, address: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#legend li", timeout=WAIT)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#overlay").bounding_box()["y"] < page.locator("#rgb").bounding_box()["y"]
    context.close()
