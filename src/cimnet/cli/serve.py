"""The command ``cimnet serve``."""

from __future__ import annotations

from typing import Annotated

import typer

from cimnet.cli.shared import AllowHost, Checkpoint, Device, Precision, Trust, say


def serve(
    checkpoint: Checkpoint,
    host: Annotated[str, typer.Option(help="Address to listen on. There is no password: see docs/deploy/serve.md.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    max_mb: Annotated[float, typer.Option(help="Largest request, millions of bytes.")] = 20.0,
    max_pixels: Annotated[int, typer.Option(help="Largest image, pixels.")] = 4_000_000,
    queue: Annotated[int, typer.Option(min=1, help="Requests that may wait; further ones get 503.")] = 64,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs of one size in one pass of the model.")] = 16,
    batch_wait_ms: Annotated[
        float, typer.Option(help="How long a pair waits for others of its size, milliseconds.")
    ] = 5.0,
    timeout_s: Annotated[float, typer.Option(help="Time limit of a request, seconds; then the answer is 504.")] = 30.0,
    grace_s: Annotated[
        float, typer.Option(help="After SIGTERM, how long accepted requests are still answered, seconds.")
    ] = 20.0,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin of a web page that may use the server, e.g. http://localhost:3000. Repeatable."),
    ] = None,
    allow_host: AllowHost = None,
    device: Device = None,
    precision: Precision = "float32",
    trust: Trust = False,
) -> None:
    """Answer HTTP requests with masks: POST /predict, GET /health, GET /metrics."""
    from cimnet.deploy.serve import ServeOptions, run_server
    from cimnet.inference import Predictor, load
    from cimnet.utils.hosts import is_loopback

    options = ServeOptions(
        max_mb,
        max_pixels,
        queue,
        batch_size,
        batch_wait_ms,
        timeout_s,
        grace_s=grace_s,
        allow_origins=tuple(allow_origin or ()),
    )

    def open_model() -> Predictor:
        return load(checkpoint, device, trust=trust, batch_size=options.windows_at_once, precision=precision)

    if not is_loopback(host):
        say(f"--host {host}: reachable from other machines, without a password or encryption", "yellow")
    run_server(open_model, options, host, port, lambda address: say(f"{checkpoint} on {address}"), allow_host or ())
