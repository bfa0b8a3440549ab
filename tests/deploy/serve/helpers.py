"""Pairs as files in memory, a model that can be held, an app with a client."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from PIL import Image
from torch import Tensor

from cimnet.deploy.serve import ServeOptions, create_app
from cimnet.deploy.serve.service import Service
from cimnet.inference import Predictor
from cimnet.models import Output
from tests.fakes.layouts import make_arrays


def png(array: Any, form: str = "PNG", **settings: Any) -> bytes:
    """An image file."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, form, **settings)
    return file.getvalue()


@dataclass(frozen=True)
class Pair:
    """A pair as arrays and as files of a form."""

    rgb: Any
    thermal: Any

    @property
    def files(self) -> dict[str, bytes]:
        return {"rgb": png(self.rgb), "thermal": png(self.thermal)}


def pair(index: int, small: bool = False) -> Pair:
    """One of two sizes: 32×40, or 24×28 cut out of it."""
    rgb, thermal, _ = make_arrays(index)
    return Pair(rgb[:24, :28].copy(), thermal[:24, :28].copy()) if small else Pair(rgb, thermal)


class Gate:
    """A model that waits to be let through, and remembers the sizes of its passes."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.entered, self.open = threading.Event(), threading.Event()
        self.passes: list[int] = []

    def __call__(self, rgb: Tensor, thermal: Tensor) -> Output:
        self.entered.set()
        assert self.open.wait(30)
        self.passes.append(len(rgb))
        return self.model(rgb, thermal)

    def predict(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        return self(rgb, thermal).logits.argmax(1)


@asynccontextmanager
async def running(predictor: Predictor, **options: Any) -> AsyncIterator[tuple[Any, Service]]:
    """An HTTP client of a started app, without a network, and what the app's routes share."""
    app = create_app(predictor, ServeOptions(**options))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client, app.state.service


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that will come."""
    for _ in range(3000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("did not come")


async def hold(gate: Gate, client: Any, pairs: list[Pair]) -> list[asyncio.Task[Any]]:
    """Requests for these pairs, the first of which is in the model before the next one is sent."""
    first = asyncio.create_task(client.post("/predict", files=pairs[0].files))
    await until(gate.entered.is_set)
    return [first, *(asyncio.create_task(client.post("/predict", files=one.files)) for one in pairs[1:])]


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


FORM = {"content-type": "multipart/form-data; boundary=x"}


def form(files: dict[str, bytes], filename: str = "a") -> bytes:
    """The body of a request with the header `FORM`."""
    parts = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), filename.encode(), content)
        for name, content in files.items()
    )
    return parts + b"--x--\r\n"


def ids(body: bytes) -> Any:
    """Class ids of an answer."""
    with Image.open(io.BytesIO(body)) as image:
        assert image.mode == "P"
        return np.array(image)
