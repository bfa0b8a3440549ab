"""Count parameters and MACs of the published networks, and write the table of docs/models/index.md.

python benchmarks/model_table.py                 # both; takes some minutes and two gigabytes
python benchmarks/model_table.py --only 'cmx_*'  # count these anew
python benchmarks/model_table.py --no-count      # the table alone
"""

from __future__ import annotations

import argparse
import fnmatch
import json
from pathlib import Path

from cimnet.analysis.model_list import COSTS, entries, published_names, to_markdown
from cimnet.models import create_model
from cimnet.models.complexity import measure_budget

PAGE = Path(__file__).parents[1] / "docs" / "models" / "index.md"
BEGIN, END = "<!-- table: written by python benchmarks/model_table.py -->\n", "<!-- end of table -->\n"
CLASSES, SIZE = 9, (480, 640)


def count(name: str) -> dict[str, int]:
    """Parameters and MACs of one network."""
    budget = measure_budget(create_model(name, CLASSES), SIZE)
    return {"parameters": budget.parameters, "macs": budget.macs}


def page_with_table(page: str) -> str:
    """The page's text with a current table."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{to_markdown(entries())}\n{END}{after}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="*", help="shell pattern of names to count")
    parser.add_argument("--no-count", action="store_true", help="write the table alone")
    options = parser.parse_args()
    costs = json.loads(COSTS.read_text()) if COSTS.exists() else {}
    for name in [] if options.no_count else fnmatch.filter(published_names(), options.only):
        costs[name] = count(name)
        print(name, costs[name], flush=True)
        kept = {key: costs[key] for key in published_names() if key in costs}
        COSTS.write_text(json.dumps(kept, indent=2) + "\n")
    PAGE.write_text(page_with_table(PAGE.read_text()))


if __name__ == "__main__":
    main()
