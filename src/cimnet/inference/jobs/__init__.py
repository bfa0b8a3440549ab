"""Predictions of many pairs: folders, lists and Parquet files, resumable, in this process or on a Ray cluster.

Parquet needs pyarrow and the engine ``ray`` needs Ray, both in the extra ``cluster``; the rest needs neither."""

from cimnet.inference.jobs.folder import match_pairs, predict_pairs
from cimnet.inference.jobs.job import Job, predict_job
from cimnet.inference.jobs.lists import read_list
from cimnet.inference.jobs.parts import Files, Part

__all__ = ["Files", "Job", "Part", "match_pairs", "predict_job", "predict_pairs", "read_list"]
