"""Predictions of many pairs: folders, lists and Parquet files, resumable, in this process or on a Ray cluster.

    from cimnet.inference.jobs import Job, predict_job

    predict_job(Job.of("runs/kust4k", "predictions", rgb="flight/rgb", thermal="flight/thermal"))

Parquet needs pyarrow and the engine ``ray`` needs Ray, both in the extra ``cluster``; the rest needs neither."""

from cimnet.inference.jobs.job import Job, predict_job
from cimnet.inference.jobs.matching import NameRules, match_pairs
from cimnet.inference.jobs.outcomes import Predicted
from cimnet.inference.jobs.pair_lists import read_list
from cimnet.inference.jobs.shards import Files, Shard

__all__ = ["Files", "Job", "NameRules", "Predicted", "Shard", "match_pairs", "predict_job", "read_list"]
