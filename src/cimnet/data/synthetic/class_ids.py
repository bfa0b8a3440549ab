"""The nine classes of the synthetic world: those of Kust4K, and their ids."""

from cimnet.data.layouts.kust4k import CLASSES as CLASSES
from cimnet.data.layouts.kust4k import COLORS as COLORS

UNLABELLED, ROAD, BUILDING, MOTORCYCLE, CAR, TRUCK, TREE, HUMAN, FACILITY = range(9)
