"""ROS messages: the same logic for recorded bags and for a running node."""

from __future__ import annotations

from cimnet.deploy.robots.approximate_time import ApproximateTime
from cimnet.deploy.robots.newest_pair import NewestPair
from cimnet.deploy.robots.pair_segmenter import PairSegmenter, Segmented
from cimnet.deploy.robots.predict_bag import BagResult, predict_bag

__all__ = ["ApproximateTime", "BagResult", "NewestPair", "PairSegmenter", "Segmented", "predict_bag"]
