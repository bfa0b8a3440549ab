"""The report on a suite: its scores as JSON and as Markdown."""

from __future__ import annotations

import json
from dataclasses import dataclass

from cimnet.analysis.robustness.robustness_scores import RobustnessScores
from cimnet.analysis.robustness.robustness_tables import markdown
from cimnet.utils.numbers import json_number


@dataclass(frozen=True)
class RobustnessReport(RobustnessScores):
    """Results of a suite: all scores, and the texts that report them.

    Attributes:
        facts: model, data, conventions.
        outcomes: counts by condition; ``clean`` first.
    """

    def to_dict(self) -> dict[str, object]:
        """The content of ``robustness.json``: shares 0..1, null where nothing can be judged."""
        facts = self.facts
        return {
            **{name: getattr(facts, name) for name in ("model", "dataset", "split", "pairs", "left_out")},
            **{name: list(getattr(facts, name)) for name in ("classes", "moving", "notes")},
            **{name: getattr(facts, name) for name in ("absent", "seed", "version")},
            "clean": self.clean.to_dict(),
            "mean_corruption_score": json_number(self.mean_corruption_score),
            "retained": json_number(self.retained),
            "groups": {group: json_number(value) for group, value in self.groups.items()},
            "corruptions": {name: curve.to_dict() for name, curve in self.curves.items()},
            "subsets": {
                p.condition.flag or p.condition.stands_for: {"imitated": not p.condition.flag, **p.to_dict()}
                for p in self.points
                if p.condition.flag or p.condition.stands_for
            },
        }

    def to_json(self) -> str:
        """:meth:`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_markdown(self, brief: bool = False) -> str:
        """The content of ``robustness.md``; `brief`: without the tables of classes and scenes."""
        return markdown(self, brief)
