"""The page of `dvc plots`, with its scripts in it: DVC's own loads them from the network.

The scripts are those that Snakemake brings for its report.
"""

from pathlib import Path

from bench.runtime import files

PLACE = Path(".dvc/plots/page.html")  # as .dvc/config says
SCRIPTS = ("vega/vega.js", "vega-lite/vega-lite.js", "vega-embed/vega-embed.js")
# DVC fills what is in braces. Its own scripts, {scripts}, have no place.
PAGE = """<!DOCTYPE html>
<html>
<head>
{refresh_tag}
<meta charset="utf-8">
<title>Metrics against K</title>
"""
END = "</head>\n<body>\n{plot_divs}\n</body>\n</html>\n"


def write() -> None:
    """Writes the page. .dvc/ is that of the working folder."""
    from snakemake.assets import Assets

    scripts = [f"<script>{Assets.get_content(name)}</script>\n" for name in SCRIPTS]
    files.write_text(PLACE, PAGE + "".join(scripts) + END)
