# What `snakemake --report` shows: category, caption and label of each figure and page. The captions
# are in workflows/report/, and so is the description of the workflow.

FIGURES = {
    "differences": ("Tables", "differences", "Which differences are real"),
    "terms": ("Bound", "terms", "Terms of each step"),
    "calibration": ("Bound", "calibration", "Calibration"),
    "variances": ("Variances", "variances", "Variances against t"),
    "variance_maps": ("Variances", "variance_maps", "Maps over an image"),
    "spectra": ("Variances", "spectra", "Spectra"),
    "tradeoff": ("Samples", "tradeoff", "FID against the bound"),
    "samples": ("Samples", "samples", "Samples"),
}
PAGES = {
    "table1": ("Tables", "Table 1: every metric"),
    "table2": ("Tables", "Table 2: steps to a target FID"),
    "table3": ("Reproduction", "Table 3: schedules"),
    "reproduction": ("Reproduction", "Published numbers"),
    "theory": ("Truth", "Claims on a mixture"),
}


def shown_figure(name):
    """A figure of every setting for the report, as svg."""
    category, caption, label = FIGURES.get(name) or about_metric(name)
    return report(
        TABLES.figure("{setting}", name, "svg"),
        caption=f"../report/{caption}.rst",
        category=category,
        labels={"setting": "{setting}", "shows": re.sub("[<>{}&]", "", label)},
    )


def about_metric(group):
    """(category, caption, label) of the curves of a group of metrics."""
    metric = scores.in_group(group)[0]
    if "law" in metric.needs:
        return "Truth", "distances", "Distances from the law"
    if "bound" in metric.needs:
        return "Bound", "bound", f"{metric.title} against K"
    return "Samples", "scores", f"{metric.title} against network evaluations"


def shown_page(name):
    """A page of the report."""
    category, label = PAGES[name]
    of_all = {"table3": paths.THRESHOLDS_PAGE, "theory": paths.THEORY_PAGE}
    return report(
        of_all.get(name, TABLES.page(name)),
        caption=f"../report/{name}.rst",
        category=category,
        labels={"setting": "all", "shows": label},
    )
