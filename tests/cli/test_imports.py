"""What a fresh process imports: libraries that take a second and that a command does not need stay out."""

from __future__ import annotations

import subprocess
import sys

import pytest

TRAINING = ("torchvision", "timm", "segmentation_models_pytorch", "torch._dynamo", "accelerate", "scipy", "matplotlib")
ANYTHING = ("torch", "numpy", "PIL", "yaml", "huggingface_hub", *TRAINING)


def imported(code: str, arguments: list[str] | None = None) -> set[str]:
    """Names of all modules that a fresh process has when it has run some lines."""
    script = f"import sys\ntry:\n    {code}\nfinally:\n    print('imported:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, *(arguments or [])], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("imported:")]
    assert lines, done.stderr
    return set(lines[-1].split()[1:])


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["predict", "--help"], ["data", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    found = imported("from cimnet.cli.main import main; main()", arguments)
    assert "cimnet.cli.predict" in found
    assert found & set(ANYTHING) == set()
    rooms = {name for name in found if name.startswith("cimnet.") and name.count(".") == 1}
    assert rooms == {"cimnet.cli", "cimnet.errors", "cimnet.version", "cimnet.utils"}


@pytest.mark.parametrize(
    "module",
    [
        "cimnet.inference.jobs, cimnet.inference.backends.runtime",  # cimnet predict on an exported file
        "cimnet.deploy.serve",
        "cimnet.deploy.geo",
        "cimnet.deploy.video",
        "cimnet.models",
        "cimnet.data",
        "cimnet.curation.check",
    ],
)
def test_prediction_imports_nothing_of_training(module: str) -> None:
    found = imported(f"import {module}")
    assert "torch" in found
    assert found & set(TRAINING) == set()


def test_a_timm_encoder_needs_no_second_library() -> None:
    found = imported("import cimnet; cimnet.create_model('rgb_only_efficientnet_lite0', 3)")
    assert "timm" in found
    assert found & {"segmentation_models_pytorch", "scipy", "matplotlib", "accelerate"} == set()


def test_no_library_is_imported_inside_an_outline() -> None:
    """Tensors that it makes when it is imported would have no data."""
    found = imported("from cimnet.models.outline import Outline; Outline(1, 1).__enter__()")
    assert {"timm", "segmentation_models_pytorch", "torchvision", "cimnet.models.zoo"} <= found


def test_names_of_training_are_there_when_asked_for() -> None:
    import cimnet.data

    assert cimnet.data.train_transform((8, 8)).crop == (8, 8)
    assert all(getattr(cimnet.data, name) is not None for name in cimnet.data.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cimnet.data.nothing
