"""All faults. A room's own list can be added to MODULES: it needs a name FAULTS."""

from __future__ import annotations

from tests.faults import archives, checkpoints, disks, folders, images, lists, permissions, recipes, training, yamls
from tests.faults.bench import Fault

MODULES = (images, lists, folders, permissions, yamls, recipes, checkpoints, archives, disks, training)
FAULTS: list[Fault] = [fault for module in MODULES for fault in module.FAULTS]
