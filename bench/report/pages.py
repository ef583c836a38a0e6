"""Tables as pages of their own, for Snakemake's report: Markdown in, HTML out.

A page needs no network. A click on the head of a column sorts the rows by it: numbers, then
names; empty cells are last both ways.
"""

import pandas
from markdown_it import MarkdownIt

STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 1rem; color: #222; background: #fff; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid #ddd;
         white-space: nowrap; }
td { font-variant-numeric: tabular-nums; }
th { cursor: pointer; background: #f3f3f3; }
th[aria-sort=ascending]::after { content: " ▲"; }
th[aria-sort=descending]::after { content: " ▼"; }
@media (max-width: 600px) { h1 { margin-top: 2.5rem; } }
tr:hover td { background: #f8f8f0; }
"""
SCRIPT = """
function key(row, column) {  // what begins as a number is one; the best row is 0 behind itself
  const text = row.cells[column].textContent.trim().replace("−", "-");
  return { text, number: text === "best" ? 0 : parseFloat(text) };
}
function compare(a, b) {  // numbers before names
  if (isNaN(a.number) && isNaN(b.number)) return a.text.localeCompare(b.text);
  return isNaN(a.number) - isNaN(b.number) || a.number - b.number;
}
for (const head of document.querySelectorAll("th")) {
  head.title = "sort by this column";
  head.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    const body = head.closest("table").tBodies[0];
    const column = head.cellIndex;
    const rows = [...body.rows].map(row => ({ row, ...key(row, column) }));
    const full = rows.filter(one => one.text), empty = rows.filter(one => !one.text);
    full.sort((a, b) => up ? compare(a, b) : compare(b, a));
    body.append(...[...full, ...empty].map(({ row }) => row));
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  });
}
"""


def markdown(frame: pandas.DataFrame, title: str) -> str:
    """A table as Markdown, with a heading. Numbers have six digits."""
    texts = frame.map(lambda value: f"{value:.6g}" if isinstance(value, float) else value)
    table = texts.where(frame.notna(), "").to_markdown(index=False, disable_numparse=True)
    return f"# {title}\n\n{table}\n"


def page(markdown: str, title: str) -> str:
    """The page of a Markdown text with tables. title: of the window."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    body = body.replace("<table>", '<div class="wide"><table>')
    body = body.replace("</table>", "</table></div>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
