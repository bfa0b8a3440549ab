"""The command ``cimnet app``."""

from __future__ import annotations

from typing import Annotated

import typer

from cimnet.cli.shared import AllowHost, Checkpoint, Device, Trust, say


def serve_page(
    checkpoint: Checkpoint,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all networks.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 7860,
    max_mb: Annotated[float, typer.Option(help="Largest upload, megabytes.")] = 20.0,
    max_pixels: Annotated[float, typer.Option(help="Largest image, pixels.")] = 4e6,
    queue: Annotated[
        int, typer.Option(min=1, help="Requests that may wait for the model; further ones get an error.")
    ] = 16,
    allow_host: AllowHost = None,
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Serve a page on which you upload a pair, degrade it with sliders and watch the prediction change."""
    from cimnet.deploy.app.server import serve
    from cimnet.deploy.app.uploads import Limits
    from cimnet.inference import load
    from cimnet.utils.hosts import is_loopback

    if not is_loopback(host):
        say(f"{host}: others can reach this page; it has no password and uses plain HTTP", "yellow")
    limits = Limits(megabytes=max_mb, pixels=int(max_pixels), queue=queue)
    predictor = load(checkpoint, device, trust=trust)

    def ready(address: str) -> None:
        say(f"{address}  (Ctrl-C ends)", "bold")

    serve(predictor, host, port, limits, checkpoint.name, ready, allow_host or ())
