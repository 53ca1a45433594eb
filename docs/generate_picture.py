"""Makes `docs/_static/result.png`, the picture of the README, from the folder of a real run.

    python docs/generate_picture.py runs/demo-curing

The run must have a ledger, and should have `fields.npz`.
"""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

from cosolve.core.fields_file import read_plane_fields
from cosolve.plugins.report import plots
from cosolve.plugins.report.page import tiles
from cosolve.plugins.report.reading import read_digest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

TARGET = Path(__file__).parent / "_static" / "result.png"


def main(run: Path) -> None:
    """Stack key figures, fields and verdicts in one small picture."""
    digest, fields = read_digest(run), read_plane_fields(run)
    images = [plots.fields(fields)] if fields else []
    images.append(plots.verdicts(digest, kind="png"))
    panels = [imread(io.BytesIO(base64.b64decode(image.partition(",")[2])), format="png") for image in images]
    heights = [0.85, *(10.0 * panel.shape[0] / panel.shape[1] for panel in panels)]
    figure = Figure(figsize=(10.0, sum(heights)), facecolor="white")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(heights), 1, height_ratios=heights, gridspec_kw={"hspace": 0.02})
    figure.subplots_adjust(left=0.01, right=0.99, top=0.99, bottom=0.01)
    for axes in rows:
        axes.axis("off")
    for position, tile in enumerate(tiles(digest)):
        left = position / 4
        rows[0].text(left, 0.92, tile.name, fontsize=9, color=plots.QUIET, va="top")
        rows[0].text(left, 0.7, tile.value, fontsize=19, color=plots.INK, va="top", weight="bold")
        rows[0].text(left, 0.05, tile.note, fontsize=8, color=plots.QUIET, va="bottom")
    for axes, panel in zip(rows[1:], panels, strict=True):
        axes.imshow(panel, interpolation="antialiased")
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, dpi=100, metadata={"Software": None})
    print(TARGET, f"{TARGET.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
