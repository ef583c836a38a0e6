"""The view with which MLflow opens the list of runs: variants, the best first, and their curves.

MLflow keeps the views that people save as tags of the experiment, and offers them under `Views`.
The keys of a state are those of its page (MLflow 3.17; its own demo writes such tags, too).
"""

import base64
import json
import zlib
from collections.abc import Sequence

NAME = "variants"  # in the address of the page, viewStateShareKey=variants
TAG = f"mlflow.sharedViewState.{NAME}"
ONLY_VARIANTS = "tags.kind = 'variant'"
BESIDE = ("tags.`configuration`", "params.`samples.count`", "tags.`assumes`")


def tag(first: str, ascending: bool, columns: Sequence[str], curves: Sequence[str]) -> str:
    """The value of the tag `TAG`.

    first: the metric that orders the list. columns, curves: metrics that are shown in it, and in
    charts.
    """
    section = {"uuid": "curves", "name": "By number of steps K", "display": True}
    section |= {"isReordered": True, "deleted": False, "isGenerated": False}
    state = {
        "searchFilter": ONLY_VARIANTS,
        "orderByKey": f"metrics.`{first}`",
        "orderByAsc": ascending,
        "selectedColumns": [*(f"metrics.`{name}`" for name in columns), *BESIDE],
        "compareRunSections": [section],
        "compareRunCharts": [_chart(name) for name in curves],
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    name = f"Variants by {first}"
    return json.dumps({"name": name, "createdAt": 0, "state": f"deflate;{packed}"})


def _chart(metric):
    """A chart of a curve, on logarithmic axes."""
    return {
        "uuid": metric,
        "type": "LINE",
        "metricSectionId": "curves",
        "displayName": metric,
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "runsCountToCompare": 10,
        "deleted": False,
        "isGenerated": False,
        "lineSmoothness": 0,
        "scaleType": "log",
        "xAxisScaleType": "log",
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "range": {},
        "ignoreOutliers": False,
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": True,
    }
