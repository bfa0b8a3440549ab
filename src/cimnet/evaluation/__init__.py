"""Honest scores: one confusion matrix, stated conventions."""

from cimnet.evaluation.evaluate import Evaluation, evaluate
from cimnet.evaluation.evaluate_boxes import BoxEvaluation, evaluate_boxes
from cimnet.evaluation.metrics import Scores, confusion_matrix, scores
from cimnet.evaluation.paired import PairedDifference, paired_difference

__all__ = [
    "BoxEvaluation",
    "Evaluation",
    "PairedDifference",
    "Scores",
    "confusion_matrix",
    "evaluate",
    "evaluate_boxes",
    "paired_difference",
    "scores",
]
