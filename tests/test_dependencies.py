"""pyproject.toml, constraints.txt and the imports say the same about dependencies."""

from __future__ import annotations

import ast
import re
import sys
import tomllib

from tests import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CORE = "–"
PACKAGES = {  # names to import that are not the package's
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "mlflow": "mlflow-skinny",
    "prometheus_client": "prometheus-client",
    "python_multipart": "python-multipart",
    "yaml": "pyyaml",
}
BROUGHT = {"affine": "rasterio", "starlette": "fastapi"}  # part of the interface of what brings them
CAPPED = {
    "gradio",  # src/cimnet/deploy/app/gradio_private.py needs what this release keeps to itself
    "mkdocs",  # version 2 is announced without plugins
}
LOCKS = ("Pipfile.lock", "conda-lock.yml", "pdm.lock", "pixi.lock", "poetry.lock", "pylock.toml", "uv.lock")
Rows = set[tuple[str, str, str]]
"""Extra, package, bound."""


def canonical(name: str) -> str:
    """As registries compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def split(requirement: str) -> tuple[str, str]:
    """Package, with its extras, and bound."""
    match = re.fullmatch(r"([\w.-]+(?:\[[\w,-]+\])?)\s*(.*)", requirement)
    assert match is not None, requirement
    return match[1], match[2]


def required() -> Rows:
    project = PYPROJECT["project"]
    lists = {CORE: project["dependencies"], **project["optional-dependencies"]}
    return {(extra, *split(requirement)) for extra, requirements in lists.items() for requirement in requirements}


def test_every_requirement_has_a_lower_bound_and_none_an_upper_one_without_need() -> None:
    """A library's upper bounds are its users' conflicts."""
    usual = r">=\d+(\.\d+)*(,!=[\d.]+)*"
    patterns = {name: usual + r",<\d+(\.\d+)*" if name in CAPPED else usual for _, name, _ in required()}
    odd = [f"{name}{bound}" for _, name, bound in required() if not re.fullmatch(patterns[name], bound)]
    assert odd == []


def test_an_extra_that_repeats_a_package_repeats_its_bound() -> None:
    bounds: dict[str, set[str]] = {}
    for _, name, bound in required():
        bounds.setdefault(canonical(name), set()).add(bound)
    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}


def constraints() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def test_constraints_are_versions_alone() -> None:
    """No address, option or hash, so that they hold with any index; and of nothing that is not required."""
    known = {canonical(name.partition("[")[0]) for _, name, _ in required()}
    for line in constraints():
        match = re.fullmatch(r"([\w.-]+)((==|<)[\w.]+)(; python_version >= \"3\.\d+\")?", line)
        assert match is not None, f"{line}: neither NAME==VERSION nor NAME<VERSION"
        assert canonical(match[1]) in known, f"{line}: not required"


def test_constraints_name_a_package_once() -> None:
    names = [canonical(re.split("[=<]", line)[0]) for line in constraints()]
    assert sorted(names) == sorted(set(names))


def test_constraints_are_within_the_bounds() -> None:
    lowest = {canonical(name.partition("[")[0]): bound.partition(",")[0] for _, name, bound in required()}

    def numbers(text: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", text)]

    pins = dict(line.partition(";")[0].split("==") for line in constraints() if "==" in line.partition(";")[0])
    assert [name for name, version in pins.items() if numbers(version) < numbers(lowest[canonical(name)])] == []


def test_no_lock_file() -> None:
    """Not at the top nor in a folder of the project's own; environments and runs are not looked into."""
    folders = [ROOT, *(ROOT / name for name in ("benchmarks", "docs", "examples", "recipes", "src", "tests", ".ci"))]
    found = [path for path in ROOT.iterdir() if path.name in LOCKS]
    found += [path for folder in folders[1:] for path in folder.rglob("*") if path.name in LOCKS]
    assert found == []


def _imports() -> dict[str, str]:
    """Top-level packages that the source imports, and where."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            found.update(dict.fromkeys((name.partition(".")[0] for name in names), str(path.relative_to(ROOT))))
    return {name: where for name, where in found.items() if name not in {*sys.stdlib_module_names, "cimnet"}}


def test_whatever_is_imported_is_required() -> None:
    """By users, that is: the extra dev does not count."""
    names = {canonical(name.partition("[")[0]) for extra, name, _ in required() if extra != "dev"}
    imports = _imports()
    assert imports
    by_choice = {canonical("mamba_ssm")}  # a CUDA build that no extra can bring; used where the user has installed it
    missing = {n: where for n, where in imports.items() if canonical(PACKAGES.get(n, n)) not in names | by_choice}
    assert {name: where for name, where in missing.items() if BROUGHT.get(name) not in names} == {}


def test_every_requirement_has_its_reason_beside_it() -> None:
    """On its line: what it is for, and why the bound stands where it stands."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines = text[: text.index("[project.scripts]")].splitlines()
    requirements = [line for line in lines if re.search(r"\"[\w.\[\]-]+>=\d", line)]
    listed = {name for line in requirements for name in re.findall(r"\"([\w.\[\],-]+)>=\d", line)}
    assert {name for _, name, _ in required()} <= listed
    assert [line for line in requirements if not re.search(r"\S  # \S", line)] == []


def test_every_requirement_has_its_licence_in_the_decisions() -> None:
    page = (ROOT / "docs" / "paper" / "decisions.md").read_text(encoding="utf-8")
    listed = {canonical(word) for word in re.findall(r"[\w-]+", page[page.index("Licences, as the") :])}
    assert {name for _, name, _ in required() if canonical(name.partition("[")[0]) not in listed} == set()
