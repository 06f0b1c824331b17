"""From runs to rows: medians, ratios to the best peer, and tables as text and Markdown."""
import statistics
from dataclasses import dataclass

from peers import PEERS

# A row is marked when others took more than this part of a core from it.
DISTURBED = 0.1
# ... and when it made less than this part of the calls it was to make.
REACHED = 0.95
OWN = {peer.name for peer in PEERS if peer.own}


@dataclass(frozen=True)
class Column:
    head: str
    key: str
    form: str
    # What is best: min, max, or nothing to compare.
    best: object = None


USE = [Column("proxy core", "proxy_core", ".0%"), Column("load core", "load_core", ".0%"),
       Column("peak MiB", "peak", ".0f")]
COST = Column("CPU us/call", "cpu", ".1f", min)
COLUMNS = {
    "calls": [COST, Column("calls/s", "rate", ",.0f", max), *USE],
    "stream": [Column("CPU ms/GiB", "cpu_gib", ".0f", min), Column("MiB/s", "mib", ",.0f", max), *USE],
    "idle": [Column("KiB/connection", "growth", ".1f", min), Column("MiB in the end", "total", ".0f")],
    "latency": [Column("p50 us", "p50", ",.0f", min), Column("p99 us", "p99", ",.0f", min), COST,
                Column("calls/s", "rate", ",.0f"), *USE],
}


def concluded(scenario, rows):
    """Gives rows (`runs`, `note`, `invalid`) what follows from their runs: `median` and `ratio` by key, `valid`."""
    for row in rows.values():
        runs = row["runs"]
        failures = [run["why"] for run in runs if run["failed"]]
        if failures and not row["invalid"]:
            row["invalid"] = "; ".join(failures)
        row["valid"] = bool(runs) and not row["invalid"]
        row["median"] = {key: statistics.median(run[key] for run in runs)
                         for key in (runs[0] if runs else ()) if key != "why"}
        row["note"] = row["note"] or "; ".join(_notes(row["median"]))
    for column in COLUMNS[scenario.kind]:
        rivals = [name for name, row in rows.items() if row["valid"] and name not in OWN]
        best = column.best and rivals and column.best(rivals, key=lambda name: rows[name]["median"][column.key])
        for row in rows.values():
            row.setdefault("ratio", {})
            if best and row["valid"]:
                row["ratio"][column.key] = _ratio(row["runs"], rows[best]["runs"], column.key)


def _notes(median):
    if median.get("rate", 0) < REACHED * median.get("asked", 0):
        yield f"fell behind the rate of {median['asked']:,.0f}"
    if median.get("others", 0) > DISTURBED:
        yield f"disturbed: others took {median['others']:.0%} of a core"


def _ratio(runs, others, key):
    """The median of the rounds' ratios, as a machine that becomes slower does so for all of a round."""
    pairs = [(one[key], other[key]) for one, other in zip(runs, others, strict=False) if other[key]]
    return statistics.median(one / other for one, other in pairs) if pairs else None


def table(scenario, result, markdown=False):
    """The text of a scenario's table."""
    heads = ["proxy"]
    for column in COLUMNS[scenario.kind]:
        heads += [column.head] + ["x best"] * bool(column.best)
    heads.append("")
    lines = [heads] + [_cells(scenario, name, row) for name, row in result["rows"].items()]
    title = f"{scenario.name}: {result['about']}"
    if markdown:
        rule = ["---"] + ["--:"] * (len(heads) - 2) + ["---"]
        return "\n".join([f"**{title}**", ""] + ["| " + " | ".join(cells) + " |" for cells in [heads, rule, *lines[1:]]])
    widths = [max(len(cells[place]) for cells in lines) for place in range(len(heads) - 1)]
    text = [title]
    for name, *figures, note in lines:
        fitted = [figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True)]
        text.append("  ".join(["", name.ljust(widths[0]), *fitted, note]).rstrip())
    return "\n".join(text)


def _cells(scenario, name, row):
    cells = [name]
    for column in COLUMNS[scenario.kind]:
        figure, ratio = row["median"].get(column.key), row["ratio"].get(column.key)
        cells.append("-" if figure is None else format(figure, column.form))
        if column.best:
            cells.append("-" if ratio is None else f"{ratio:.2f}")
    return cells + [f"INVALID: {row['invalid']}" if row["invalid"] else row["note"]]
