"""The addresses of the public data sets, and `download`, which fetches one: all of it or nothing."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from cimnet.curation.download.archives import require_space, unpack
from cimnet.curation.download.transfer import Pause, Remote, Report, fetch, require_http
from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.split_lists import name_some
from cimnet.data.layouts.cart import CART
from cimnet.data.layouts.fmb import FMB
from cimnet.data.layouts.kust4k import Kust4K
from cimnet.data.layouts.mfnet import MFNet
from cimnet.data.layouts.msrs import MSRS
from cimnet.data.layouts.pst900 import PST900
from cimnet.errors import DataError, one_line
from cimnet.utils.files import hidden_folder, publish_folder, require_empty, require_stageable


@dataclass(frozen=True)
class Source:
    """A data set: its files, or (`by_hand`) what a person must fetch and how to arrange it in DIR."""

    name: str
    title: str
    home: str
    licence: str
    citation: str
    files: tuple[Remote, ...] = ()
    listing: str | None = None  # figshare's list of the files: gives missing addresses, and lists not named in `files`
    by_hand: str = ""


def _source(layout: type[RGBTDataset], *files: Remote, listing: str | None = None, by_hand: str = "") -> Source:
    info = layout.info
    return Source(layout.name, info.title, info.home, info.licence, info.citation, files, listing, by_hand)


def _zip(name: str, number: int, size: int, md5: str) -> Remote:
    return Remote(f"{name}.zip", f"{_FIGSHARE}/{number}", size, md5, folder=name, unpack=True)


_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ ()-]{0,150}")  # names of files, without folders
_FIGSHARE = "https://ndownloader.figshare.com/files"  # figshare.com/ndownloader answers programs with an empty 202
_CART_LISTS = (
    "https://raw.githubusercontent.com/aerorobotics/caltech-aerial-rgbt-dataset/"
    "98472cee53e3f63da702dd26e0298a884ae58086/splits/rgbt_splits"
)
_TABLE = (
    _source(
        Kust4K,
        _zip("RGB", 55979147, 1_660_347_962, "d0bc9895100f339b1e13f40f2efe532f"),
        _zip("TIR", 55979165, 1_032_806_526, "90562a17a4160600b2a12359d2c48391"),
        _zip("Seg_annos", 55979159, 20_500_353, "c3111062f64dd06aeacdf16c2c5d1ee5"),
        *(Remote(f"{name}.txt") for name in ("train", "val", "test", "broke_RGB", "broke_TIR")),
        Remote("broken_in_test_day_151.txt", f"{_FIGSHARE}/55979195"),
        Remote("broken_in_test_night_91.txt", f"{_FIGSHARE}/55979198"),
        Remote("broken_in_train_day_528.txt", f"{_FIGSHARE}/55979201"),
        Remote("broken_in_train_night_316.txt", f"{_FIGSHARE}/55979204"),
        Remote("broken_in_val_day_74.txt", f"{_FIGSHARE}/55979207"),
        listing="https://api.figshare.com/v2/articles/29476610/files?page_size=1000",
    ),
    _source(
        MSRS, Remote("MSRS-main.zip", "https://github.com/Linfeng-Tang/MSRS/archive/refs/heads/main.zip", unpack=True)
    ),
    _source(
        CART,
        Remote(
            "labeled_rgbt_pairs.zip",
            "https://data.caltech.edu/api/records/cks6g-ps927/files/labeled_rgbt_pairs.zip/content",
            4_287_170_398,
            "22f42923694e724d4b7e354bace12389",
            unpack=True,
        ),
        *(Remote(f"rgb_{s}.txt", f"{_CART_LISTS}/rgb_{s}.txt", folder="rgbt_splits") for s in ("train", "val", "test")),
    ),
    _source(MFNet, by_hand="the data set, so that DIR has images/ (RGBA), labels/, train.txt, val.txt and test.txt"),
    _source(
        PST900, by_hand="PST900 RGB-T (Google Drive), so that DIR has train/ and test/ with rgb/, thermal/, labels/"
    ),
    _source(FMB, by_hand="FMB (Google Drive), so that DIR has train/ and test/ with Visible/, Infrared/, Label/"),
)
SOURCES = {source.name: source for source in _TABLE}


def download(
    name: str, root: str | Path, *, mirror: str | None = None, keep_partial: bool = False, report: Report | None = None
) -> Path:
    """Download the data set `name` (one of `SOURCES`) into the folder `root`; see `fetch_source`. Returns `root`.

    Raises:
        DataError: no such data set, one that only a person can fetch, or a failure of `fetch_source`.
    """
    return fetch_source(_find(name), root, mirror=mirror, keep_partial=keep_partial, report=report)


def licence_note(name: str) -> str:
    """Title, licence, citation and home page of a data set, one a line."""
    source = _find(name)
    return f"{source.title}\nLicence: {source.licence}\nCite:    {source.citation}\nHome:    {source.home}"


def _find(name: str) -> Source:
    if name not in SOURCES:
        raise DataError(f"{name}: no data set of this name; there are {', '.join(SOURCES)}")
    return SOURCES[name]


def fetch_source(
    source: Source,
    root: str | Path,
    *,
    mirror: str | None = None,
    keep_partial: bool = False,
    report: Report | None = None,
    pause: Pause = time.sleep,
) -> Path:
    """Download a data set into `root`, which must be absent or empty. It appears there at the end, all at once.

    Until then all lies in the hidden folder `.NAME.part`, removed on failure; with `keep_partial` what arrived stays,
    and the next call resumes from it. It lies beside `root`, or inside where `root` cannot be replaced, such as a mount
    point. `mirror` is an address under which every file lies by its name.

    Raises:
        DataError, CimnetError: `root` is in use or not empty, a file cannot be fetched or unpacked, the disk is full.
    """
    root = Path(root)
    if source.by_hand:
        what = source.by_hand.replace("DIR", str(root))
        remedy = f"from {source.home} get {what}, then run: cimnet data check {root}"
        raise DataError(f"{source.name}: no program can fetch it; {remedy}")
    target, inside = require_stageable(root, "give a new folder")
    with hidden_folder(
        target, inside=inside, named=root, keep=lambda stage: keep_partial and _keep_files(stage)
    ) as stage:
        require_empty(target, "give a new folder")
        shutil.rmtree(stage / "data", ignore_errors=True)  # of a process that was killed
        files = _resolve(source, mirror, pause)
        arrived, data = stage / "files", stage / "data"
        arrived.mkdir(exist_ok=True)
        needed = sum((file.size or 0) * (2 if file.unpack else 1) for file in files)  # images hardly shrink in archives
        require_space(stage, needed - sum(path.stat().st_size for path in arrived.iterdir()), source.name)
        for file in files:
            fetch(file, arrived / file.name, report=report, pause=pause)
        for file in sorted(files, key=lambda file: file.unpack):
            place = data / file.folder
            place.mkdir(parents=True, exist_ok=True)
            if file.unpack:
                unpack(arrived / file.name, place, report=report)
            else:
                (arrived / file.name).rename(place / file.name)
        publish_folder(data, target, inside)
    return root


def _resolve(source: Source, mirror: str | None, pause: Pause) -> Sequence[Remote]:
    """The files of a data set with their addresses: below the mirror, of the table, or of figshare's list.

    Raises:
        DataError: a file has no address, or a name that cannot be one of a file.
    """
    files: Sequence[Remote] = source.files
    if mirror is not None:
        base = require_http(mirror).rstrip("/")
        files = [replace(file, url=f"{base}/{quote(file.name)}") for file in files]
    elif source.listing is not None:
        try:
            listed, why = _listed(source.listing, pause), "it does not name them"
        except DataError as error:
            listed, why = {}, str(error)
        files = [_completed(file, listed.get(file.name)) for file in files]
        lost = [file.name for file in files if file.url is None]
        if lost:
            missing = f"no address for {name_some(lost)} in {source.listing} ({why})"
            raise DataError(f"{source.name}: {missing}, and it is useless without it; try later or give a --mirror")
        known = {file.name.casefold() for file in files}
        files += [file for name, file in listed.items() if name.endswith(".txt") and name.casefold() not in known]
    names = [file.name for file in files]
    if not names or not all(map(_PLAIN.fullmatch, names)) or len({name.casefold() for name in names}) < len(names):
        raise DataError(f"{source.name}: its files need names of their own, without folders; got {names}")
    return files


def _completed(file: Remote, listed: Remote | None) -> Remote:
    """Fill the gaps of a table's entry from the list."""
    if listed is None or file.url not in (None, listed.url):
        return file
    return replace(file, url=listed.url, size=file.size or listed.size, md5=file.md5 or listed.md5)


def _listed(url: str, pause: Pause) -> dict[str, Remote]:
    """The files of a figshare record by name; entries that are not plain files with an http(s) address are left out.

    Raises:
        DataError: no such list, or two files of the same name.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "files.json"
        fetch(Remote("list of files", url), path, most=1 << 20, pause=pause, attempts=3)
        try:
            entries = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise DataError(f"{url}: not JSON ({one_line(error)})") from error
    found: dict[str, Remote] = {}
    for entry in entries if isinstance(entries, list) else ():
        file = _entry(entry)
        if file is not None and found.setdefault(file.name, file) is not file:
            raise DataError(f"{url}: names {file.name} twice")
    return found


def _entry(entry: object) -> Remote | None:
    fields = entry if isinstance(entry, dict) else {}
    name, url, size = fields.get("name"), fields.get("download_url"), fields.get("size")
    sums = [fields.get("computed_md5"), fields.get("supplied_md5")]
    md5 = next((value for value in sums if isinstance(value, str) and re.fullmatch("[0-9a-fA-F]{32}", value)), None)
    if not isinstance(name, str) or not _PLAIN.fullmatch(name) or fields.get("is_link_only"):
        return None
    try:
        return Remote(name, require_http(str(url)), size if isinstance(size, int) and size > 0 else None, md5)
    except DataError:
        return None


def _keep_nothing(stage: Path) -> bool:
    return False


def _keep_files(stage: Path) -> bool:
    """Remove all but the files that arrived; whether there are any."""
    shutil.rmtree(stage / "data", ignore_errors=True)
    return any(path.stat().st_size for path in stage.glob("files/*"))
