"""The picture of `geometry_shares`: shares against radius, a row of panels an attack, a column a site."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from raygrid.errors import UsageError
from raygrid.results.geometry import CURVES, Row, cell, labels

if TYPE_CHECKING:
    import altair as alt

FORMATS = {".svg", ".png"}
COLORS = ("#0072b2", "#d55e00", "#009e73")
"""Of the curves; Okabe & Ito's, told apart by the color-blind."""
LEGEND = {(center, of): f"{of}'s class around the {center}" for center, of in CURVES}
UNITS = {"norm": "radius / norm of the original there", "absolute": "radius, L2"}
FIELDS = ("radius", "share", "share_low", "share_high", "mean_distance")


def check_plot(file: Path) -> None:
    """Refuse a plot that could not be saved, before any work.

    Raises:
        UsageError: another format than FORMATS, or a package is missing.
    """
    if file.suffix not in FORMATS:
        raise UsageError(f"{file}: a plot is an {' or '.join(sorted(FORMATS, reverse=True))} file")
    if missing := [name for name in ("altair", "vl_convert") if find_spec(name) is None]:
        raise UsageError(
            f"{' and '.join(missing)} not installed; pip install 'raygrid[plots]' brings what a plot needs"
        )


def save_plot(rows: Sequence[Row], file: Path) -> None:
    """Draw shares with their intervals against the radius, and the mean distance of the examples as a line.

    Args:
        rows: of the view `geometry_shares`, of one geometry_key.
        file: .svg or .png; needs no network, to make or to look at.

    Raises:
        UsageError: there are no rows.
    """
    if not rows:
        raise UsageError(f"{file}: nothing to draw, the victim answers all originals and examples alike")
    import altair as alt

    names = labels(rows)
    panels: dict[tuple[object, ...], dict[tuple[int, str], list[Row]]] = {}
    for row in rows:
        panels.setdefault(cell(row), {}).setdefault((row["place"], row["site"]), []).append(row)
    # Not a facet: Vega-Lite moves panels to other columns where a row has not all of them (5.21).
    chart = alt.vconcat(
        *(
            alt.hconcat(*(_panel(panel, _reach(rows, panel[0])) for _, panel in sorted(in_row.items()))).properties(
                title=alt.Title(", ".join(names[one]), anchor="start", fontSize=12)
            )
            for one, in_row in panels.items()
        )
    ).properties(
        title=alt.Title("dashed: mean distance between original and example", fontWeight="normal", fontSize=11)
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    chart.save(str(file))


def _panel(rows: Sequence[Row], reach: float) -> "alt.LayerChart":
    """Return the curves of one cell at one site."""
    import altair as alt

    points = [{**{name: row[name] for name in FIELDS}, "curve": LEGEND[row["center"], row["of_class"]]} for row in rows]
    x = alt.X(
        "radius:Q",
        title=UNITS[rows[0]["radius_unit"]],
        scale=alt.Scale(type="sqrt", nice=False, domain=[0, reach]),  # answers change most near 0
    )
    color = alt.Color(
        "curve:N",
        title=None,
        scale=alt.Scale(domain=list(LEGEND.values()), range=list(COLORS)),
        legend=alt.Legend(orient="top", labelLimit=0, symbolOpacity=1),
    )
    y_title, y_scale = "share of directions", alt.Scale(domain=[0, 1])
    base = alt.Chart().encode(x=x, color=color)
    band = base.mark_area(opacity=0.2).encode(y=alt.Y("share_low:Q", title=y_title, scale=y_scale), y2="share_high:Q")
    line = base.mark_line(point=alt.OverlayMarkDef(size=12)).encode(y=alt.Y("share:Q", title=y_title, scale=y_scale))
    rule = alt.Chart().mark_rule(strokeDash=[4, 3], color="#555").encode(x=alt.X("mean(mean_distance):Q"))
    data = alt.InlineData(values=points)
    title = alt.Title(rows[0]["site"], fontWeight="normal")
    return alt.LayerChart(layer=[band, line, rule], data=data, width=220, height=140, title=title)


def _reach(rows: Sequence[Row], panel: Row) -> float:
    """Return where the axis of a panel ends: at the same radius for all whose radii mean the same."""
    alike = [row for row in rows if panel["radius_unit"] == "norm" or row["site"] == panel["site"]]
    return max(max(row["radius"], row["mean_distance"]) for row in alike) or 1.0
