"""Honest scores: one confusion matrix, stated conventions."""

from cimnet.evaluation.evaluate import Evaluation, evaluate
from cimnet.evaluation.metrics import Scores, confusion_matrix, scores

__all__ = ["Evaluation", "Scores", "confusion_matrix", "evaluate", "scores"]
