"""Which addresses others can reach."""

from __future__ import annotations

import pytest

from cimnet.utils.hosts import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.1.1", "localhost", "::1", "0:0:0:0:0:0:0:1"])
def test_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.2", "::", "example.org", "127.0.0.1.example.org", "127.x"])
def test_others(host: str) -> None:
    assert not is_loopback(host)
