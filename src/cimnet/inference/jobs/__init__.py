"""Predictions of many pairs: folders, lists and Parquet files, resumable, in this process or on a Ray cluster.

Parquet needs pyarrow and the engine ``ray`` needs Ray, both in the extra ``cluster``; the rest needs neither."""

from cimnet.inference.jobs.folders import match_pairs, predict_pairs
from cimnet.inference.jobs.job import Job, predict_job
from cimnet.inference.jobs.pair_lists import read_list
from cimnet.inference.jobs.shards import Files, Shard

__all__ = ["Files", "Job", "Shard", "match_pairs", "predict_job", "predict_pairs", "read_list"]
