"""Boxes around objects, drawn by people: from a CSV table or COCO's detection JSON to the pairs of a data set."""

from cimnet.data.boxes.object_box import BoxFile, ObjectBox, Rect
from cimnet.data.boxes.of_pairs import PairBox, PairBoxes, boxes_of_pairs
from cimnet.data.boxes.read_boxes import read_boxes

__all__ = ["BoxFile", "ObjectBox", "PairBox", "PairBoxes", "Rect", "boxes_of_pairs", "read_boxes"]
