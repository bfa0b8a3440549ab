"""Honest scores: one confusion matrix, stated conventions."""

from cimnet.evaluation.evaluate import Evaluation, evaluate
from cimnet.evaluation.evaluate_boxes import BoxEvaluation, evaluate_boxes
from cimnet.evaluation.metrics import Scores, confusion_matrix, scores

__all__ = ["BoxEvaluation", "Evaluation", "Scores", "confusion_matrix", "evaluate", "evaluate_boxes", "scores"]
