"""The view with which MLflow opens the list of runs: variants, the best first, and their curves.

MLflow keeps the views that people save as tags of the experiment, and offers them under `Views`.
The keys of a state are those of its page (MLflow 3.17; its own demo writes such tags, too).
"""

import base64
import json
import zlib
from collections.abc import Sequence

from bench.report import address

LOCAL_SERVER = "http://127.0.0.1:5000"  # of `mlflow ui --host 127.0.0.1`
NAME = "variants"
PAGE = f"#/experiments/{{}}/runs?workflowType=machine_learning&viewStateShareKey={NAME}"
TAG = f"mlflow.sharedViewState.{NAME}"
ONLY_VARIANTS = "tags.kind = 'variant'"
BESIDE = ("params.`samples.count`", "tags.`configuration`")


def page(experiment_id: str) -> str:
    """The address of the view: on the server, or where `mlflow ui` shows the store."""
    server = LOCAL_SERVER
    if address.is_server():
        server = address.uri().partition("?")[0].rstrip("/")  # without a token
    return f"{server}/{PAGE.format(experiment_id)}"


def how_to_open(page: str) -> str:
    """What to type and where to look for an address that `page` returned."""
    if address.is_server():
        return page
    store = "" if address.is_default() else ' --backend-store-uri "$MLFLOW_TRACKING_URI"'
    return f"mlflow ui --host 127.0.0.1{store}, then {page}"


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
        "selectedColumns": [f"metrics.`{name}`" for name in columns]
        + [*BESIDE, f"tags.`{first}_stderr`"],
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
