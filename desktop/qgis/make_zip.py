"""The plugin as a ZIP file for QGIS: ``python desktop/qgis/make_zip.py dist/cimnet-qgis.zip``.

The version comes from `src/cimnet/version.py`. plugins.qgis.org also wants a licence, which is put in, and addresses of
the repository and of its issues, which are there if `CIMNET_REPOSITORY` names the repository.
"""

import os
import re
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLUGIN = Path(__file__).parent / "cimnet"


def metadata(repository: str) -> str:
    """metadata.txt with the version of the package and, where they are known, the addresses."""
    text = (PLUGIN / "metadata.txt").read_text(encoding="utf-8")
    [version] = re.findall(r'__version__ = "(.+)"', (ROOT / "src" / "cimnet" / "version.py").read_text("utf-8"))
    text = re.sub(r"(?m)^version=.*$", f"version={version}", text)
    if not repository:
        return text
    address = repository.rstrip("/")
    return f"{text.rstrip()}\nhomepage={address}\nrepository={address}\ntracker={address}/issues\n"


def make_zip(out: Path, repository: str) -> None:
    """Write the plugin's files, and nothing that Python or an editor left beside them."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cimnet/metadata.txt", metadata(repository))
        archive.write(ROOT / "LICENSE", "cimnet/LICENSE")
        for path in sorted([*PLUGIN.glob("*.py"), PLUGIN / "icon.svg"]):
            archive.write(path, f"cimnet/{path.name}")


if __name__ == "__main__":
    target, address = Path(sys.argv[1]), os.environ.get("CIMNET_REPOSITORY", "")
    make_zip(target, address)
    without = "" if address else " (no repository in it: set CIMNET_REPOSITORY before an upload to plugins.qgis.org)"
    print(f"{target}{without}")
