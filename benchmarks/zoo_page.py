"""Write "Side by side with CIMNet" in docs/notebook/zoo.md from what benchmarks/zoo_speed.py measured.

    python benchmarks/zoo_page.py    # benchmarks/zoo_speed.py does the same behind each run

The table, the dates and every ratio come from docs/evidence/zoo_speed.json, those against commit b263845 from
docs/evidence/speed.json. What stands outside the two marks of the page is written by hand.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cimnet.utils.files import write_text
from cimnet.utils.tables import markdown_table

DOCS = Path(__file__).resolve().parents[1] / "docs"
SPEED, AGAINST, PAGE = DOCS / "evidence/zoo_speed.json", DOCS / "evidence/speed.json", DOCS / "notebook/zoo.md"
BEGIN, END = "<!-- side by side: written by python benchmarks/zoo_page.py -->\n", "<!-- end of side by side -->\n"
FORMS = {
    "eager": "PyTorch",
    "onnx": "ONNX Runtime",
    "openvino": "OpenVINO",
    "bfloat16": "bfloat16",
    "int8": "int8",
    "step": "training step",
}
DEPLOYED = ("onnx", "openvino", "bfloat16", "int8")
YARDSTICK, RIVAL = "cimnet_resnet101", "cmx_mit_b4"
BUSY = 3.0
"""Load average above which a row names it. The measurement itself makes one of up to 2."""
ORIGINAL_PASS = 3.75 / 2.03
"""Seconds of CMX-B4's original code and of CIMNet-R101 at commit b263845 in one run, 480×640, batch 1, float32. The
figures came with the goals; the original code is not at hand."""
MIT_B4_BEFORE = 3.60 / 3.75
"""Of CIMNet-MiT-B4 and CMX-B4's original code in the same run."""
ORIGINAL_STEP = 2.10 / 2.16
"""The same of a training step of CMX-B2's original code and of CIMNet-MiT-B2: 240×320, batch 2."""
Known = dict[str, dict[str, Any]]


def page_with_figures(page: str, known: Known, against: dict[str, Any]) -> str:
    """The page's text with a current part between the marks.

    Args:
        known: content of zoo_speed.json.
        against: content of speed.json.
    """
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    points = "".join(_wrapped(f"- {point}", "  ") for point in _points(known, against))
    return f"{before}{BEGIN}\n{_wrapped(_circumstances(known))}\n{table(known)}\n{points}\n{END}{after}"


def table(known: Known) -> str:
    """All networks, fastest first, with the load where the machine was busy with other work."""
    forms = [form for form in FORMS if any(form in entry for entry in known.values())]
    usual = _usual_processor(known)
    rows = []
    for name, entry in sorted(known.items(), key=lambda item: _time(item[1], "eager") or float("inf")):
        eager = entry.get("eager")
        figures = ["–"] * 3
        if eager:
            figures = [f"{eager['gmacs']}", f"{eager['share_of_matrix_peak']:.2f}", f"{eager['peak_memory_mib']:,}"]
        times = [f"{entry[form]['of_cimnet_resnet101']:.2f}" if form in entry else "–" for form in forms]
        loads = [f"{FORMS[form]} {_load(entry, form):g}" for form in forms if _load(entry, form) > BUSY]
        loads += [f"{FORMS[form]} on {own}" for form in forms if (own := _processor(entry, form)) not in (None, usual)]
        classes = " (5 classes)" if "pst" in name else ""  # see run_one of zoo_speed.py
        rows.append([name + classes, *times, *figures, ", ".join(loads)])
    head = ["network", *(FORMS[form] for form in forms), "GMACs", "share of the matrix peak", "peak memory, MiB"]
    return markdown_table([*head, f"load above {BUSY:g}, other processor"], rows, "l" + "r" * (len(head) - 1) + "l")


def _time(entry: dict[str, Any], form: str) -> float | None:
    """Of CIMNet-R101 in PyTorch, or of its step."""
    return entry[form]["of_cimnet_resnet101"] if form in entry else None


def _load(entry: dict[str, Any], form: str) -> float:
    return entry[form]["measured"]["load"] or 0.0 if form in entry else 0.0


def _processor(entry: dict[str, Any], form: str) -> str | None:
    return entry[form]["measured"]["processor"] if form in entry else None


def _usual_processor(known: Known) -> str:
    """That of most rows."""
    every = [figures["measured"]["processor"] for entry in known.values() for figures in entry.values()]
    return Counter(every).most_common(1)[0][0]


def _circumstances(known: Known) -> str:
    measured = [figures["measured"] for entry in known.values() for figures in entry.values()]
    dates = sorted({one["date"] for one in measured})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    versions = _all(sorted({one["torch"].partition("+")[0] for one in measured}))
    cores = _all(sorted({f"{one['cores']} cores" for one in measured}))
    itself = [f"{_time(known[YARDSTICK], form):.2f} ({FORMS[form]})" for form in ("eager", "step")]
    deviation = max(0.1, *(abs((_time(known[YARDSTICK], form) or 1) - 1) for form in ("eager", "step")))
    text = f"Measured {when} on {_usual_processor(known)}, {cores}, torch {versions}. CIMNet-R101 against itself gave "
    text += f"{_all(itself)}. Ratios of [another script](speed.md#against-b263845) differ by up to a tenth, so "
    text += f"**differences below {deviation:.0%} mean nothing**."
    above = [name for name, entry in known.items() if "eager" in entry and entry["eager"]["share_of_matrix_peak"] > 1]
    if above:
        text += f" Above 1 ({_all(above)}), convolutions ran faster than the matrix product that stands for the peak."
    return text


def _points(known: Known, against: dict[str, Any]) -> Iterable[str]:
    """What the figures say, one sentence or two each."""
    of = _ratios(known)
    rival = of(RIVAL, "eager")
    deployed = min((form for form in DEPLOYED if form in known[YARDSTICK]), key=lambda form: of(YARDSTICK, form))
    best = of(YARDSTICK, deployed)
    now = against["against_b263845_cimnet_resnet101"]["ratios"]
    eager, int8 = now["here predictor"]["wall"], now["here openvino_int8"]["wall"]
    large = against["against_b263845_cimnet_mit_b4"]["ratios"]["here predictor"]["wall"]
    yield (
        f"**CIMNet-R101 takes {1 / rival:.2f} of the time of CMX-B4 as implemented here, and in its best deployed form "
        f"({FORMS[deployed]}) {best / rival:.2f}.** The goals were 0.45 and 0.15 of the time of CMX-B4's **original** "
        "code, which was not available. The CMX here has torch's fused attention and a decoder that is folded like "
        "CIMNet's, so it is faster than the original."
    )
    yield (
        f"In a measurement that came with the goals, the original took {ORIGINAL_PASS:.2f} times as long as "
        f"CIMNet-R101 at commit b263845. CIMNet-R101 now takes {eager:.2f} of that commit's time, and {int8:.2f} in "
        f"int8 ([speed](speed.md#against-b263845)). That would be {eager / ORIGINAL_PASS:.2f} and "
        f"{int8 / ORIGINAL_PASS:.2f} of the original's time. It is a calculation, not a measurement."
    )
    yield (
        f"CIMNet-MiT-B4 takes {of('cimnet_mit_b4', 'eager') / rival:.2f} of the time of CMX-B4 here. It has "
        f"{known['cimnet_mit_b4']['eager']['gmacs']} GMACs, CMX-B4 {known[RIVAL]['eager']['gmacs']}. The goal was 0.80 "
        f"of the original's time, of which it took {MIT_B4_BEFORE:.2f} at b263845. Now it takes {large:.2f} of that "
        f"commit's, which would be {large * MIT_B4_BEFORE:.2f} of the original's."
    )
    narrow = [f"{of(n, 'bfloat16') / of(n, 'openvino'):.2f} ({n})" for n in known if "bfloat16" in known[n]]
    if narrow:
        yield f"In bfloat16, an OpenVINO file takes {_all(narrow)} of its time in float32."
    gains = {
        "convolutional networks": [n for n in known if not n.startswith("sigma") and "_mit_" not in n],
        "networks with MiT": [n for n in known if "_mit_" in n],
    }
    found = {kind: values for kind, names in gains.items() if (values := _gains(known, names))}
    if found:
        parts = [f"{_range(values)} of the time of PyTorch for {kind}" for kind, values in found.items()]
        yield f"Where both were measured at a load of at most {BUSY:g}, OpenVINO in float32 takes {_all(parts)}."
    step = of("cimnet_mit_b2", "step")
    steps = against["against_b263845_cimnet_mit_b2_step"]["ratios"]
    of_before = steps["here step"]["wall"] / steps["base step"]["wall"]
    yield (
        f"A training step of CIMNet-MiT-B2 takes {step / of('cmx_mit_b2', 'step'):.2f} times as long as one of CMX-B2 "
        f"here. The goal was 0.95 of the original's, which took {ORIGINAL_STEP:.2f} of a step of CIMNet-MiT-B2 at "
        f"b263845. A step now takes {of_before:.2f} of that commit's ([speed](speed.md#training-step)), which would be "
        f"{of_before / ORIGINAL_STEP:.2f} of the original's. It is a calculation, too."
    )
    small = known["cimnet_efficientnet_lite0"]
    rates = [f"{1 / small[f]['seconds']:.0f} ({FORMS[f]})" for f in FORMS if f in small and f != "step"]
    yield f"Pairs a second of CIMNet-Lite0: {_all(rates)}. The goal was 15."
    scans = [of(n, f) for n in known if n.startswith("sigma") for f in ("eager", *DEPLOYED) if f in known[n]]
    yield (
        f"Sigma takes {_range(scans, 1)} times as long as CIMNet-R101 in PyTorch, its exported files included. Its "
        "scans are sequential by nature, and no kernel for them exists on a CPU."
    )
    unknown = [FORMS[form] for form in FORMS if not any(form in entry for entry in known.values())]
    if unknown:
        yield f"Measured for no network: {_all(unknown)}."


def _ratios(known: Known) -> Callable[[str, str], float]:
    """Time of a network in a form, of CIMNet-R101 in PyTorch or of its step; these themselves are 1."""

    def of(name: str, form: str) -> float:
        if name == YARDSTICK and form in ("eager", "step"):
            return 1.0
        ratio: float = known[name][form]["of_cimnet_resnet101"]
        return ratio

    return of


def _gains(known: Known, names: Iterable[str]) -> list[float]:
    """OpenVINO's time of PyTorch's, of networks that were measured in both forms on a quiet machine."""
    of = _ratios(known)
    both = [name for name in names if {"eager", "openvino"} <= known[name].keys()]
    quiet = [
        name
        for name in both
        if _load(known[name], "openvino") <= BUSY and (name == YARDSTICK or _load(known[name], "eager") <= BUSY)
    ]
    return [of(name, "openvino") / of(name, "eager") for name in quiet]


def _range(values: list[float], digits: int = 2) -> str:
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def _all(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) + "\n"


def write_page() -> None:
    """Bring the page up to date."""
    known, against = (json.loads(path.read_text(encoding="utf-8")) for path in (SPEED, AGAINST))
    write_text(PAGE, page_with_figures(PAGE.read_text(encoding="utf-8"), known, against))


if __name__ == "__main__":
    write_page()
