"""The notebooks in ``examples/notebooks`` as pages: ``make notebooks`` runs them and writes ``docs/notebooks``.

The pages and their pictures are committed, so that building the site runs nothing.

    python docs/_site/notebook_pages.py [NAME ...]
"""

from __future__ import annotations

import base64
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "examples" / "notebooks"
PAGES = ROOT / "docs" / "notebooks"
LARGEST = 100_000  # bytes of a picture
PATIENCE = 1800  # wall-clock seconds for a cell: a busy machine is no fault of the notebook
CODE = "```py"  # not "python": the tests run the notebook, and with it all that a page shows
_LINKS = (
    (re.compile(r"\]\(\.\./\.\./docs/"), "](../"),
    (re.compile(r"\]\((\d\w+)\.py\)"), r"](\1.md)"),
)
_TERMINAL_COLORS = re.compile(r"\x1b\[[\d;]*m")


def names() -> list[str]:
    """The notebooks, in their order."""
    return sorted(path.stem for path in NOTEBOOKS.glob("*.py"))


def read(name: str) -> Any:
    """A notebook of ``examples/notebooks`` (py:percent), without results."""
    return jupytext.read(NOTEBOOKS / f"{name}.py", fmt="py:percent")


def run(name: str, folder: Path) -> Any:
    """Run a notebook by this Python in a folder, and return it with its results.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = read(name)
    client = NotebookClient(notebook, kernel_name="python3", timeout=PATIENCE, resources={"metadata": {"path": folder}})
    client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"})  # threads that wait for a busy core burn CPU time
    return notebook


def page(name: str, notebook: Any) -> tuple[str, dict[str, bytes]]:
    """The Markdown of a notebook that was run, and its pictures: bytes by file name."""
    first, *others = notebook.cells
    title, _, rest = first.source.partition("\n")
    source = f"../../examples/notebooks/{name}.py"
    about = f"*A notebook, and what it printed and drew: [{name}.py]({source}).*"
    parts, pictures = [title, about, _for_the_page(rest.strip())], {}
    for cell in others:
        if cell.cell_type == "markdown":
            parts.append(_for_the_page(cell.source))
            continue
        parts.append(f"{CODE}\n{cell.source}\n```")
        text = "".join(_text(output) for output in cell.outputs).strip()
        if text:
            parts.append(f"```text\n{text}\n```")
        for output in cell.outputs:
            if png := output.get("data", {}).get("image/png"):
                data, ending = small(base64.b64decode(png))
                picture = f"{name}_{len(pictures) + 1}.{ending}"
                pictures[picture] = data
                parts.append(f"![{_alt(name, cell)}]({picture})")
    return "\n\n".join(parts) + "\n", pictures


def small(png: bytes) -> tuple[bytes, str]:
    """A picture of at most `LARGEST` bytes and its ending: as it is, or as JPEG of the best quality that fits."""
    if len(png) <= LARGEST:
        return png, "png"
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for quality in range(92, 20, -6):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= LARGEST:
            break
    return file.getvalue(), "jpg"


def write(name: str, notebook: Any) -> None:
    """Write page and pictures of a notebook that was run, and delete its former pictures."""
    text, pictures = page(name, notebook)
    PAGES.mkdir(exist_ok=True)
    for old in (*PAGES.glob(f"{name}_*.png"), *PAGES.glob(f"{name}_*.jpg")):
        old.unlink()
    (PAGES / f"{name}.md").write_text(text, encoding="utf-8")
    for file, data in pictures.items():
        (PAGES / file).write_bytes(data)


def _text(output: Any) -> str:
    """What a cell printed; the text of a picture ("<Figure size …>") and warnings are left out."""
    if output.output_type == "stream":
        return _TERMINAL_COLORS.sub("", output.text) if output.name == "stdout" else ""
    data = output.get("data", {})
    return "" if "image/png" in data else data.get("text/plain", "")


def _for_the_page(text: str) -> str:
    """A cell's Markdown with links that hold in ``docs/notebooks``."""
    for pattern, link in _LINKS:
        text = pattern.sub(link, text)
    return text


def _alt(name: str, cell: Any) -> str:
    """A picture in words: ``alt`` of the cell that draws it, written as ``# %% alt="..."``."""
    if "alt" not in cell.metadata:
        raise ValueError(f'{name}: a cell draws a picture; say which with # %% alt="..." above it\n{cell.source}')
    return str(cell.metadata["alt"])


def main(chosen: list[str]) -> None:
    """Run and write the notebooks of these names; none: all."""
    for name in chosen or names():
        print(f"{name} ...", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            write(name, run(name, Path(folder)))


if __name__ == "__main__":
    main(sys.argv[1:])
