"""Pairs that message_filters itself makes, in a Python that has it: runs as JSON on standard input, pairs on output.

A run is ``{"slop": seconds, "queue_size": n, "events": [[side, nanoseconds], …]}``; of each the pairs are given as
places in its events.
"""

import json
import sys
from types import SimpleNamespace

import rospy
from message_filters import ApproximateTimeSynchronizer, SimpleFilter

rospy.rostime.set_rostime_initialized(True)
answers = []
for run in json.load(sys.stdin):
    sides = [SimpleFilter(), SimpleFilter()]
    pairs = []
    both = ApproximateTimeSynchronizer(sides, run["queue_size"], run["slop"])
    both.registerCallback(lambda a, b, pairs=pairs: pairs.append([a.place, b.place]))
    for place, (side, stamp) in enumerate(run["events"]):
        header = SimpleNamespace(stamp=rospy.Time(*divmod(stamp, 10**9)))
        sides[side].signalMessage(SimpleNamespace(place=place, header=header))
    answers.append(pairs)
print(json.dumps(answers))
