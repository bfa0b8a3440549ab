"""Guards that end a run with an explanation: a loss out of bounds, too little memory, a dataloader worker that died."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from cimnet.errors import CimnetError, DataError
from cimnet.training.order import SeededDataset
from cimnet.training.recipe import Recipe
from cimnet.utils.files import write_text

_OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory|not enough memory", re.IGNORECASE)
_DEAD_WORKER = re.compile(r"DataLoader worker \(pid\(?s?\)? ([\d, ]+)\)")


class LossGuard:
    """Refuse a loss or gradient that is not finite, and a loss above ``training.max_loss``.

    Args:
        accelerator: of the run. All processes see the same values; the first one writes.
        path: file that the ids of the offending batch go to, with those of the batch before: after a loss without
            bounds, that one may have been the cause.
    """

    def __init__(self, accelerator: Accelerator, path: Path, max_loss: float) -> None:
        self.accelerator, self.path, self.max_loss = accelerator, path, max_loss
        self._before: list[str] = []

    def check(self, values: dict[str, float], ids: list[str], step: int) -> None:
        """Terms of the loss and the gradient's norm of a batch, before the weights are changed by it. With float16
        the gradient may overflow now and then; such steps are left out, not refused.

        Raises:
            CimnetError: naming the pairs, after the file is written.
        """
        scaled = self.accelerator.scaler is not None
        bounded = [value for name, value in values.items() if not (scaled and name == "gradient_norm")]
        finite = bool(np.isfinite(bounded).all())
        if finite and values["loss"] <= self.max_loss:
            self._before = ids
            return
        ids, before = gather_object(ids), gather_object(self._before)
        record = {"step": step, "batch": ids, "batch_before": before}
        terms = {name: value if np.isfinite(value) else str(value) for name, value in values.items()}
        if self.accelerator.is_main_process:
            write_text(self.path, json.dumps({**record, **terms}, indent=2) + "\n")
        what = "is no longer finite" if not finite else f"is {values['loss']:.3g}, above training.max_loss"
        what = f"gradient {what}" if np.isfinite(values["loss"]) and not finite else f"loss {what}"
        sound = " If the loss is sound, raise training.max_loss and --resume." if finite else ""
        raise CimnetError(
            f"the {what} at step {step} (pairs {', '.join(ids)}), noted in {self.path}; start again in another --out "
            f"with a lower training.learning_rate or with training.clip_norm.{sound}"
        )


@contextmanager
def explain_failures(recipe: Recipe, data: SeededDataset) -> Iterator[None]:
    """Turn torch's errors about memory and dead dataloader workers into ones that name the remedy.

    Raises:
        CimnetError: too little memory: batch, crop and what to lower.
        DataError: a dataloader worker died: the files that it was reading.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or _OUT_OF_MEMORY.search(str(error)):
            raise CimnetError(_memory(recipe)) from error
        dead = _DEAD_WORKER.search(str(error))
        if dead is None:
            raise
        raise DataError(_worker([int(pid) for pid in dead[1].split(",")], data)) from error


def _memory(recipe: Recipe) -> str:
    training, augmentation = recipe.training, recipe.augmentation
    height, width = augmentation.crop
    copies = f", and {augmentation.modality_dropout:g} of them twice" if augmentation.modality_dropout else ""
    remedies = [f"lower training.batch_size (and raise training.accumulate, now {training.accumulate}, to make up)"]
    remedies += ["lower augmentation.crop"]
    remedies += [] if training.gradient_checkpointing is True else ["set training.gradient_checkpointing=true"]
    remedies += ["set training.mixed_precision=bf16"] if training.mixed_precision == "no" else []
    return (
        f"out of memory with training.batch_size {training.batch_size} and augmentation.crop {height}x{width}{copies}; "
        f"{', or '.join(remedies)}"
    )


def _worker(pids: list[int], data: SeededDataset) -> str:
    pairs = [data.dataset.pairs[index] for index in map(data.read_by, pids) if index is not None]
    where = "; ".join(f"{pair.id}: {pair.rgb}, {pair.thermal or pair.rgb}, {pair.label}" for pair in pairs)
    return (
        f"a dataloader worker died{f' while it read {where}' if where else ''}; a file that crashes its decoder or too "
        "little (shared) memory does that: data.workers=0 reads in the main process and shows more"
    )
