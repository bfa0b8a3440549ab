"""Web pages of other origins: none, those named, or all."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from cimnet.deploy.serve import ServeOptions
from cimnet.errors import ConfigError
from cimnet.inference import Predictor
from tests.deploy.serve.helpers import pair, run, running

PAGE = "http://localhost:3000"
HEADER = "access-control-allow-origin"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}


@pytest.mark.parametrize(
    ("allowed", "answer"), [((), None), ((PAGE,), PAGE), (("https://other.example",), None), (("*",), "*")]
)
def test_only_pages_that_are_allowed_get_the_header(
    predictor: Predictor, allowed: tuple[str, ...], answer: str | None
) -> None:
    async def work() -> None:
        async with running(predictor, allow_origins=allowed) as (client, _):
            asked = await client.options("/predict", headers=PREFLIGHT)
            assert asked.headers.get(HEADER) == answer
            assert (asked.status_code == 200) == (answer is not None)
            mask = await client.post("/predict", files=pair(1).files, headers={"Origin": PAGE})
            assert mask.status_code == 200
            assert mask.headers.get(HEADER) == answer
            assert "access-control-allow-credentials" not in mask.headers

    run(work())


def test_load_balancers_ask_by_head(predictor: Predictor) -> None:
    async def work() -> None:
        async with running(predictor) as (client, _):
            answer = await client.head("/health")
            assert (answer.status_code, answer.content) == (200, b"")

    run(work())


@pytest.mark.parametrize("origin", ["localhost:3000", "http://a.example/path", "ftp://a.example", "", "http://a b"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ConfigError, match=r"allow_origins.*origins without a path"):
        ServeOptions(allow_origins=(origin,))
