"""table1 as LaTeX, for papers that load booktabs: a table for each setting and metric.

The cells are the texts of table1.md, so that both say the same. Standard errors are smaller than
values, and a column that has one value in all rows is left out: a table of seven numbers of steps
then fits a page.
"""

import re

import pandas

from bench import scores
from bench.report import tables

HEAD = (
    "% In the preamble: \\usepackage{booktabs}\n"
    "% Value ± standard error, the best of a column in bold. In brackets the published value, "
    "see table1.md.\n"
)
STYLE = "\\centering\n\\footnotesize\n\\setlength{\\tabcolsep}{3pt}\n"
SYMBOLS = {"≠": "$\\neq$", "−": "$-$"}
SPECIAL = re.compile(r"([_%&#$])")
ROW = ["process", "trajectory", "variant"]


def table1(frame: pandas.DataFrame, made_by: str) -> str:
    """All blocks of table1. frame: of cells.csv. made_by: a comment beside each table."""
    parts = [HEAD]
    for (setting, name), block in frame.groupby(["setting", "metric"], sort=False):
        metric = scores.get(name)
        wide = tables.texts(metric, block).fillna("").reset_index()
        constant = [column for column in ROW[:2] if wide[column].nunique() == 1]
        caption = ", ".join([tables.heading(setting, metric, block), *wide.loc[0, constant]])
        rows = wide.drop(columns=constant).map(_text)
        steps = len(wide.columns) - len(ROW)
        body = rows.rename(columns=_column).to_latex(
            index=False,
            escape=False,
            caption=_text(caption),
            label=f"tab:{setting}-{name}",
            column_format="l" * (len(ROW) - len(constant)) + "r" * steps,
            position="htbp",
        )
        body = body.replace("\\begin{tabular}", f"{STYLE}\\begin{{tabular}}", 1)
        parts.append(f"% {made_by}\n{body}")
    return "\n".join(parts)


def _column(name):
    """The head of a column: a number of steps, or what is in it."""
    return f"$K = {name}$" if isinstance(name, int) else name


def _text(markdown):
    """LaTeX of a text of table1.md."""
    text = SPECIAL.sub(r"\\\1", markdown)
    text = re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", text)
    text = re.sub(r"(?<![\w.])-(?=[\d.])", "$-$", text)
    text = re.sub(r" ± (\S+)", r"{\\tiny\\,$\\pm$\\,\1}", text)
    for symbol, command in SYMBOLS.items():
        text = text.replace(symbol, command)
    return text
