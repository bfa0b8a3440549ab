"""classes.yaml and other files beside a data set: malicious, huge, repeated, of the wrong form."""

from __future__ import annotations

from collections.abc import Callable

from cimnet.errors import DataError
from tests.faults.bench import Bench, Fault

LAUGHS = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
CODE = "!!python/object/apply:os.system ['touch {marker}']"


def _yaml(text: str | bytes) -> Callable[[Bench], str]:
    """A classes.yaml; `{marker}` becomes a file that must not come into being."""

    def run(bench: Bench) -> str:
        marker = bench.folder / "executed"
        content = text.replace("{marker}", str(marker)) if isinstance(text, str) else text
        bench.replace("classes.yaml", content)
        try:
            return bench.read()
        finally:
            assert not marker.exists()

    return run


def _both(bench: Bench) -> str:
    bench.replace("dataset.yaml", "border: 3\n")
    return bench.read()


def _fault(name: str, text: str | bytes, says: str) -> Fault:
    return Fault(f"classes.yaml {name}", "classes.yaml", _yaml(text), DataError, rf"^data/classes.yaml: .*{says}")


_NAMES = "classes: [background, person, car]\n"
FAULTS: list[Fault] = [
    _fault("that runs a command", f"classes: {CODE}", "not valid YAML .*could not determine a constructor"),
    _fault("that makes a Python object", "classes: !!python/object/new:os._Environ [{}]",
           "not valid YAML .*constructor"),
    _fault("that imports a module", "classes: !!python/module:antigravity", "not valid YAML .*constructor"),
    _fault("of a billion laughs", LAUGHS + "classes: *i\n", "anchors stand for more than 100,000 values"),
    _fault("of a billion laughs in the licence", _NAMES + LAUGHS + "licence: *i\n",
           "anchors stand for more than 100,000"),
    _fault("that holds itself", "classes: &a [*a]\n", "anchors stand for more than 100,000 values"),
    _fault("with a key twice", _NAMES + _NAMES, "the key 'classes' is given twice"),
    _fault("nested 100,000 deep", "[" * 100_000, "(nested too deep|not valid YAML)"),
    _fault("of 10 MB", "classes: [" + "a, " * 3_500_000 + "b]", "more than 1,000,000 characters; such files are small"),
    _fault("of 256 classes", f"classes: {[f'c{n}' for n in range(256)]}", "1 to 255 names, not 256"),
    _fault("in UTF-16", _NAMES.encode("utf-16"), "not valid YAML .*utf-8"),
    _fault("of binary", bytes(range(256)), "not valid YAML .*utf-8"),
    _fault("of zero bytes", b"\0" * 20, "not valid YAML .*special characters"),
    _fault("that is empty", "", "expected keys such as 'classes: "),
    _fault("that is a list", "- a\n- b\n", "expected keys such as 'classes: "),
    _fault("that is a number", "7", "expected keys such as 'classes: "),
    _fault("with a tab", "classes:\n\t- a", "not valid YAML"),
    _fault("with two documents", "classes: [a, b]\n---\nclasses: [c]\n", "not valid YAML .*single document"),
    _fault("with a date that is none", _NAMES + "home: 2020-99-99", "not valid YAML .*month must be in"),
    _fault("with a name that YAML takes for yes", "classes: [on, off]", "class 0: expected a name, not True .*quote"),
    _fault("with a class twice", "classes: [a, a]", "class names must differ: a listed more than once"),
    _fault("with a tab in a class's name", 'classes: ["a\\tb", c]', r"class name 'a\\tb' holds a character"),
    _fault("with a key misspelt", "clases: [a, b]", "key 'clases': did you mean 'classes'"),
    _fault("with a colour of 300", "classes: [{name: a, color: [300, 0, 0]}]", "class a: color must be"),
    _fault("with a pattern that leads out", _NAMES + "files: {rgb: '../{name}'}", "must be a path below the folder"),
    _fault("with a pattern from the root", _NAMES + "files: {rgb: '/etc/{name}'}", "must be a path below the folder"),
    _fault("with a thermal range of NaN", _NAMES + "thermal_range: [.nan, 1]", "low must be less than high"),
    _fault("with a thermal range of infinity", _NAMES + "thermal_range: [0, .inf]", "low must be less than high"),
    _fault("with a thermal range upside down", _NAMES + "thermal_range: [330, 270]", "low must be less than high"),
    _fault("with a border of 10^30", _NAMES + f"border: {10**30}", "border|nothing inside"),
    _fault("with a label table of 10^30", _NAMES + f"label_table: {{{10**30}: car}}", "is not a value in 0..65535"),
    Fault("classes.yaml with a border as large as the image", "classes.yaml", _yaml(_NAMES + "border: 16"), DataError,
          "rgb/000.png: 40x32 pixels leave nothing inside the border .*correct it"),
    *(Fault(f"classes.yaml {name}", "classes.yaml", _yaml(text), None, "^4 pairs read") for name, text in (
        ("with a byte order mark", b"\xef\xbb\xbf" + _NAMES.encode()),
        ("with CRLF", _NAMES.replace("\n", "\r\n") + "border: 0\r\n"),
        ("with an anchor used twice", "x: &x {note: y}\ny: *x\n" + _NAMES),
        ("with names in Chinese and emoji", "classes: [背景, 人 🚶, 'Auto: rot']\n"),
        ("with unknown keys", _NAMES + "camera: FLIR\nyear: 2026\n"),
    )),
    Fault("classes.yaml and dataset.yaml", "classes.yaml", _both, DataError, r"classes.yaml: dataset.yaml describes"),
]  # fmt: skip
