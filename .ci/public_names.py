"""Without any extra: the public names can be imported, and every command says what it does. Prints what was tried."""

from importlib.util import find_spec

import typer
from typer.testing import CliRunner

import cimnet
from cimnet.cli.main import app

OF_EXTRAS = ("av", "cv2", "fastapi", "flyr", "gradio", "onnx", "openvino", "pyarrow", "rasterio", "ray", "wandb")

there = [name for name in OF_EXTRAS if find_spec(name)]
if there:
    raise SystemExit(f"of an extra, and here: {', '.join(there)}")
for name in cimnet.__all__:
    getattr(cimnet, name)
command = typer.main.get_command(app)
names = sorted(getattr(command, "commands", {}))
for words in ([], *([name] for name in names)):
    result = CliRunner().invoke(app, [*words, "--help"])
    if result.exit_code or "Usage" not in result.output:
        raise SystemExit(f"cimnet {' '.join(words)} --help: {result.output}\n{result.exception!r}")
if "train" not in names:
    raise SystemExit(f"no command train among {names}")
print(f"{len(cimnet.__all__)} public names of {cimnet.__file__}; --help of cimnet and {len(names)} commands")
