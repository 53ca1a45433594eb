"""Makes the picture of the bench `operators` from its JSON file, beside its page.

    python docs/generate_operators_picture.py [docs/reference/benches/operators.json]

One panel a task: validation error over CPU seconds of each network, and the errors of POD as lines.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

SOURCE = Path(__file__).parent / "reference" / "benches" / "operators.json"


def main(source: Path) -> Path:
    """Draw the picture and return its path."""
    cases = [case for case in json.loads(source.read_text())["cases"] if "l2" in case]
    tasks = list(dict.fromkeys(case["task"] for case in cases))
    figure = Figure(figsize=(5.0 * len(tasks), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        mine = [case for case in cases if case["task"] == task]
        for number, case in enumerate([case for case in mine if case["seed"] == mine[0]["seed"]]):
            colour = f"C{number}"
            if "curve" in case:
                seconds, errors = zip(*case["curve"], strict=True)
                axes.plot(seconds, errors, color=colour, lw=1.2)
                axes.plot(seconds[-1], case["l2"], "o", color=colour, label=case["method"])
            else:
                axes.axhline(case["l2"], color=colour, ls="--", lw=1.0, label=case["method"])
        axes.set(title=task, xlabel="CPU seconds of training", yscale="log")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    panels[0].set_ylabel("relative L2 error")
    target = source.with_suffix(".png")
    figure.savefig(target, dpi=110)
    return target


if __name__ == "__main__":
    print(main(Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE))
