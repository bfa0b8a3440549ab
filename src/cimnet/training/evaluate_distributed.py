"""Evaluation in all processes of a training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast

from cimnet.data import RGBTDataset
from cimnet.evaluation.evaluate import Evaluation, evaluate
from cimnet.models import RGBTModel


def evaluate_distributed(
    accelerator: Accelerator,
    model: RGBTModel,
    dataset: RGBTDataset,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Evaluate with the images distributed over all processes, each image exactly once.

    Batch statistics differ between processes; all use those of the first one, which are the ones that are saved.

    Returns:
        The matrix and the number of images of all processes; groups are those of this process alone.
    """
    if accelerator.num_processes > 1:
        for buffer in model.buffers():
            broadcast(buffer)
    mine = list(range(accelerator.process_index, len(dataset), accelerator.num_processes))
    evaluation = evaluate(
        model.predict, dataset, device=accelerator.device, workers=workers, indices=mine, progress=progress
    )
    if accelerator.num_processes > 1:
        matrix = torch.from_numpy(evaluation.matrix).to(accelerator.device)
        evaluation.matrix = accelerator.reduce(matrix).cpu().numpy()
        evaluation.images = len(dataset)
    return evaluation
