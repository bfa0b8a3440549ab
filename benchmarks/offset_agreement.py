"""Whether learned offsets follow the true ones over moving things, and what a model makes of other offsets.

python benchmarks/offset_agreement.py --data data/late runs/table3/row8_seed* runs/variants/residual_seed*
python benchmarks/offset_agreement.py --data data/late --replace runs/table3/row8_seed*

The first prints, by kind of run (folders KIND_seedN) and stage, lengths, end-point error and correlation. The second
scores the test split with the learned offsets, with none, and with the true ones in their place at every stage.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import cimnet
from cimnet.analysis.offset_agreement import Agreement, compare_offsets, offset_agreement
from cimnet.data.layouts.kust4k import Kust4K
from cimnet.evaluation import Evaluation
from cimnet.evaluation.metrics import confusion_matrix
from cimnet.evaluation.spread import mean_and_spread
from cimnet.inference import Predictor
from cimnet.models import CIMNet
from cimnet.utils.tables import markdown_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--replace", action="store_true")
    options = parser.parse_args()
    table: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for run in options.runs:
        predictor = cimnet.load(run)
        data = predictor.open_dataset(options.data, options.split, broken="drop")
        rows = replaced(predictor, data) if options.replace else agreements(predictor, data)
        for name, values in rows.items():
            table[(run.name.rpartition("_seed")[0], name)].append(values)
    head = ["mIoU"] if options.replace else ["true length", "found length", "end-point error", "r of dx", "r of dy"]
    rows = [
        [kind, name, len(seeds), *(mean_and_spread(values, 2) for values in zip(*seeds, strict=True))]
        for (kind, name), seeds in table.items()
    ]
    print(markdown_table(["run", "offsets", "seeds", *head], rows, "llr"), end="")


def agreements(predictor: Predictor, data: cimnet.data.RGBTDataset) -> dict[str, list[float]]:
    """By stage, over all pixels on moving things of pairs whose sensors work."""
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    true = []
    for pair in compare_offsets(predictor, data):
        for name, field in pair.found.items():
            found[name].append(field[:, pair.moving])
        true.append(pair.true[:, pair.moving])
    if not true:
        return {}
    truth = np.concatenate(true, axis=1)
    got: dict[str, Agreement] = {n: offset_agreement(np.concatenate(f, axis=1), truth) for n, f in found.items()}
    return {
        name: [a.true_magnitude, a.found_magnitude, a.endpoint_error, a.correlation_dx, a.correlation_dy]
        for name, a in got.items()
    }


def replaced(predictor: Predictor, data: cimnet.data.RGBTDataset) -> dict[str, list[float]]:
    """mIoU with the offsets of all stages replaced."""
    model = predictor.model
    assert isinstance(model, CIMNet)
    assert isinstance(data, Kust4K)
    if model.scsfr[0].spatial is None:
        return {}
    results = {name: Evaluation(predictor.classes) for name in ("learned", "none", "true")}
    for index in range(len(data)):
        sample, truth = data.read(index), data.truth(index)
        assert sample.label is not None
        assert truth is not None
        true = torch.from_numpy(truth["offset"].astype(np.float32))[None].to(predictor.device)
        for name, result in results.items():
            offset = {"learned": None, "none": torch.zeros_like(true), "true": true}[name]
            with forced(model, offset):
                ids = predictor.predict(sample.rgb, sample.thermal)
            result.add(confusion_matrix(sample.label.numpy(), ids, len(predictor.classes)), [])
    return {name: [100 * result.scores.miou] for name, result in results.items()}


@contextmanager
def forced(model: CIMNet, offset: torch.Tensor | None) -> Iterator[None]:
    """Align (eq. 12) by the same offset (1, 2, H, W) at every tap of every stage, in pixels of the image; None changes
    nothing."""

    def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
        if offset is None:
            return None
        x, learned, *mask = inputs
        size = learned.shape[-2:]
        scaled = F.interpolate(offset, size=size, mode="area") * (size[0] / offset.shape[-2])
        return (x, scaled.repeat(1, learned.shape[1] // 2, 1, 1).to(learned.dtype), *mask)

    handles = [s.spatial.align.register_forward_pre_hook(hook) for s in model.scsfr if s.spatial is not None]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


if __name__ == "__main__":
    main()
