"""Take the pictures of the site and of the app for the docs: screenshots in Chromium, in full colour.

    make docs && python benchmarks/take_pictures.py site     # site_front, site_guide, site_phone
    python benchmarks/take_pictures.py app                   # app_light, app_dark, app_phone, with the starter
    python benchmarks/take_pictures.py align                 # a drawn pair before and after its alignment

Each picture lies in docs/images. `app` and `align` print the figures that the captions state.
"""

from __future__ import annotations

import argparse
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
CHROMIUM = "/usr/bin/chromium"
WAIT = 120_000
"""Milliseconds, for a busy machine."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


def open_page(chromium: Any, address: str, width: int, height: int, scheme: str = "light") -> Any:
    """A page of this size in the light or dark scheme."""
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    context.set_default_timeout(WAIT)
    page = context.new_page()
    page.goto(address)
    return page


def save(page: Any, name: str, full: bool = False) -> None:
    """Write the page as a picture without a palette, because a palette merges colours of the legend. Full pages are
    scaled to 960 pixels. JPEG keeps the full resolution of colours."""
    picture = Image.open(io.BytesIO(page.screenshot(full_page=full, animations="disabled"))).convert("RGB")
    if full:
        picture = picture.resize((960, 960 * picture.height // picture.width), Image.Resampling.LANCZOS)
    path = IMAGES / name
    if path.suffix == ".jpg":
        picture.save(path, quality=90, subsampling=0, optimize=True, progressive=True)
    else:
        picture.save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {picture.width}×{picture.height}, {path.stat().st_size // 1000} kB")


def take_site() -> None:
    """Take the front page and a guide of the built site, and the front page on a phone."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(ROOT / "site")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    with browser() as chromium:
        for name, path, width, height in (
            ("site_front.png", "/", 1280, 860),
            ("site_guide.png", "/guides/failing-sensor.html", 1280, 860),
            ("site_phone.png", "/", 390, 800),
        ):
            page = open_page(chromium, address + path, width, height)
            page.wait_for_load_state("networkidle")
            save(page, name)
    server.shutdown()


def take_app() -> None:
    """Take the app with an example: on a desktop in both schemes, and on a phone."""
    import uvicorn

    import cimnet
    from cimnet.deploy.app.example_pairs import example
    from cimnet.deploy.app.server import build_app
    from cimnet.deploy.app.uploads import Limits

    model = cimnet.load("starter", "cpu")
    shown = example("Day")
    model.predict(shown.rgb, shown.thermal)  # the first prediction is slower
    application = build_app(model, Limits(), "starter")
    server = uvicorn.Server(uvicorn.Config(application, host="127.0.0.1", port=7861, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        threading.Event().wait(0.1)
    with browser() as chromium:
        for name, label, width, height, scheme, full in (
            ("app_light.jpg", "Day", 1280, 900, "light", True),
            ("app_dark.jpg", "Misaligned", 1280, 900, "dark", True),
            ("app_phone.png", "RGB broken", 390, 1260, "light", False),
        ):
            page = open_page(chromium, "http://127.0.0.1:7861", width, height, scheme)
            page.wait_for_selector("#legend li")
            if label != "Day":
                before = page.get_attribute("#overlay img", "src")
                page.get_by_label(label, exact=True).check()
                page.wait_for_function(f"document.querySelector('#overlay img').src != {before!r}")
            page.wait_for_timeout(5000)  # the offsets and the shares come after the mask
            save(page, name, full)
            print(label, *page.locator("#moved, #status, #alarms").all_inner_texts(), sep="\n    ")
    server.should_exit = True


def take_align() -> None:
    """Draw a part of a synthetic pair whose thermal image was moved, enlarged."""
    from cimnet.data.synthetic import render
    from cimnet.registration import align_pair
    from cimnet.registration.before_after import plot_pair
    from cimnet.registration.mapping import Mapping
    from cimnet.utils.figures import save_figure

    height, width, dx, dy = 512, 640, 16.0, -8.0
    pair = render(21, index=5, size=(height, width), late=0)
    thermal, _ = Mapping(np.array([[1.0, 0, -dx], [0, 1, -dy]])).apply(pair.thermal, (height, width))
    rows, columns = np.mgrid[:height, :width].astype(float)
    truth = np.stack([columns + pair.offset[1] + dx, rows + pair.offset[0] + dy])
    found = align_pair(pair.rgb, thermal, max_offset=0.1)
    assert found.matrix is not None
    estimate = np.tensordot(found.matrix, np.stack([columns, rows, np.ones_like(rows)]), 1)
    still = ~pair.moving
    shift = (truth - np.stack([columns, rows]))[:, still].mean(axis=1)
    print(f"shift {shift.round(1)}, error after {np.hypot(*(truth - estimate))[still].mean():.1f} px")
    figure = plot_pair(pair.rgb, thermal, found.matrix)
    for axes in figure.axes:
        axes.set_xlim(230, 530)
        axes.set_ylim(340, 100)
    figure.set_size_inches(10, 4.2)
    save_figure(figure, IMAGES / "align.jpg")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", choices=("site", "app", "align"))
    {"site": take_site, "app": take_app, "align": take_align}[parser.parse_args().pictures]()


if __name__ == "__main__":
    main()
