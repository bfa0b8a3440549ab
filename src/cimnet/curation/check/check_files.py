"""The files of a folder, and which of them lack a partner."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from cimnet.curation.check.findings import Finding, Item, items_of
from cimnet.data.dataset import RGBTDataset
from cimnet.data.dataset_file import DatasetFile
from cimnet.data.io.name_patterns import FileName
from cimnet.data.io.pattern_files import Matches
from cimnet.data.io.patterns import FileIndex, FilePattern
from cimnet.data.io.split_lists import THERMAL_EXTENSIONS
from cimnet.data.layouts.folder import described
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize


def read_index(root: Path, layout: type[RGBTDataset], file: DatasetFile) -> tuple[FileIndex, list[Finding]]:
    """The files by name, also where two share one.

    Raises:
        DataError: the folder does not have the layout.
    """
    try:
        return layout.index(root), []
    except DataError:
        form = _form(root, layout, file)
        if form is None:
            raise
        forgiving = _Forgiving(**asdict(form))
        index = forgiving.index(root)
        if not forgiving.clashes:
            raise
    items = [Item(relative(root, kept), f"shares its name with {other.name}") for kept, other in forgiving.clashes]
    return index, [
        Finding(
            "error",
            "same-name",
            f"{pluralize(len(items), 'file')} whose name another file of the same kind has, too",
            "keep one of the two; the first was examined here",
            tuple(items),
        )
    ]


@dataclass(frozen=True)
class _Forgiving(FilePattern):
    """A form that notes files that share a name, and takes the first, instead of raising."""

    clashes: list[tuple[Path, Path]] = field(default_factory=list)

    def _unique(self, matches: Matches) -> dict[FileName, Path]:
        found: dict[FileName, Path] = {}
        for name, path in sorted(matches, key=lambda match: THERMAL_EXTENSIONS.index(match[1].suffix.lower())):
            if found.setdefault(name, path) != path:
                self.clashes.append((found[name], path))
        return found


def _form(root: Path, layout: type[RGBTDataset], file: DatasetFile) -> FilePattern | None:
    """The form that the layout finds in the folder, or that the folder's YAML gives."""
    return described(file) or next((form for form in layout.forms if form.recognises(root)), None)


def pairing(index: FileIndex, listed: frozenset[str], wanted: frozenset[str] | None) -> list[Finding]:
    """Images and labels without their partners.

    Args:
        listed: names of all splits.
        wanted: names that need a label; None: all do.
    """
    rgb, thermal = set(index.rgb.files), set((index.thermal or index.rgb).files)
    labels, both = set(index.labels.files), rgb & thermal
    findings = _other_case(rgb, thermal, labels)
    respelt = {name for finding in findings for item in finding.items for name in (item.name, *item.others)}
    if not both:
        findings.append(_no_pairs(sorted(rgb), sorted(thermal)))
        return findings
    alone = [Item(name, "no thermal image") for name in sorted(rgb - thermal - respelt)]
    alone += [Item(name, "no RGB image") for name in sorted(thermal - rgb - respelt)]
    asked = tuple(item for item in alone if item.name in listed)
    spare = tuple(item for item in alone if item.name not in listed)
    remedy = "add the missing image or remove the name and its files"
    if asked:
        message = f"{pluralize(len(asked), 'name')} with an image of one kind only"
        findings.append(Finding("error", "missing-partner", message, remedy, asked))
    if spare:
        message = f"{pluralize(len(spare), 'name')} in no list, with an image of one kind only"
        findings.append(Finding("warning", "spare-image", message, remedy, spare))
    return findings + _labels(both, labels - respelt, rgb | thermal, respelt, wanted)


def _other_case(rgb: set[str], thermal: set[str], labels: set[str]) -> list[Finding]:
    """RGB names that would fit if upper and lower case were the same; `others`: the other spellings."""
    found: dict[str, dict[str, str]] = {}
    for kind, names in (("thermal", thermal), ("labels", labels)):
        spelt = {name.casefold(): name for name in sorted(names - rgb)}
        for name in sorted(rgb - names):
            if other := spelt.get(name.casefold()):
                found.setdefault(name, {})[kind] = other
    if not found:
        return []
    items = tuple(
        Item(name, ", ".join(f"{other} in {kind}" for kind, other in spelt.items()), tuple(sorted({*spelt.values()})))
        for name, spelt in sorted(found.items())
    )
    message = (
        f"{pluralize(len(items), 'RGB image')} and their thermal image or label differ in upper and lower case only"
    )
    return [Finding("error", "case", message, "rename the files so that the names are equal", items)]


def _no_pairs(rgb: list[str], thermal: list[str]) -> Finding:
    if not rgb or not thermal:
        missing = " and ".join(kind for kind, names in (("RGB", rgb), ("thermal", thermal)) if not names)
        return Finding("error", "no-pairs", f"no {missing} images", "put images there, such as PNG, JPEG or TIFF files")
    return Finding(
        "error",
        "no-pairs",
        f"no RGB image has the name of a thermal image ({rgb[0]} and {thermal[0]}, for example)",
        "rename the files, or write patterns under `files:` in classes.yaml, such as rgb: 'rgb/{name}_V'",
    )


def _labels(
    both: set[str], labels: set[str], images: set[str], respelt: set[str], wanted: frozenset[str] | None
) -> list[Finding]:
    findings = []
    if not labels:
        remedy = (
            "without them, `cimnet predict`, `data align` and `eval --boxes` work, and `data label` with class names "
            "(classes.yaml or --classes); `train`, `calibrate` and `eval` without --boxes need labels and classes.yaml"
        )
        return [Finding("warning", "no-labels", "no labels at all", remedy)]
    lacking = images - labels - respelt
    asked = lacking if wanted is None else lacking & wanted
    if asked:
        message = f"{pluralize(len(asked), 'name')} of a split without a label"
        remedy = "add the labels or take the names from the lists"
        findings.append(Finding("error", "missing-label", message, remedy, items_of(asked)))
    if spare := (lacking - asked) & both:
        message = f"{pluralize(len(spare), 'pair')} without a label, in no split that needs one"
        findings.append(Finding("note", "unlabelled", message, "", items_of(spare)))
    if left := labels - images:
        message = f"{pluralize(len(left), 'label')} without images"
        findings.append(Finding("warning", "leftover-label", message, "remove them or add the images", items_of(left)))
    return findings


def relative(root: Path, path: Path) -> str:
    """A path as findings show it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
