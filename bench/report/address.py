"""Where MLflow's store is: MLFLOW_TRACKING_URI, whose passwords and tokens are written nowhere.

`uri` is for MLflow alone. Everything that is printed, logged or kept has `shown` or went through
`without_secrets`. The name and password of `https://name:password@host` go to MLflow in the
variables that it has for them (`credentials`): MLflow prints the address of a server.
"""

import base64
import os
import re
import urllib.parse
from pathlib import Path

from bench.runtime import files
from bench.runtime.errors import BenchError

DEFAULT_URI = "sqlite:///mlflow.db"
LOCAL = ("sqlite:///", "file:")  # a path, which may have an @
HIDDEN = "***"


def _given():
    """The tracking URI in force, with all that it has."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def is_server() -> bool:
    """Whether the store is a tracking server."""
    return _given().lower().startswith(("http://", "https://"))


def is_default() -> bool:
    """Whether the store is the one of this folder."""
    return _given() == DEFAULT_URI


def database() -> Path | None:
    """The file of a sqlite store, None of another. BenchError if there is something else."""
    if not _given().startswith("sqlite"):
        return None
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(?:\?.*)?", _given())
    if not match or match[1] == ":memory:":
        raise BenchError(f"{named()}: names no file; {expected()}")
    path = Path(match[1]).resolve()
    if path.exists() and not path.is_file():
        raise BenchError(f"{named()}: found {files.kind(path)}; {expected()}")
    return path


def uri() -> str:
    """The tracking URI for MLflow; that of a server has no name and password.

    BenchError if it is not clear where the password of a server ends.
    """
    if not is_server():
        return _given()
    if re.search(r"//[^/?#]*[/?#].*@", _given()):
        raise BenchError(
            f"{named()}: found /, ? or # before @; expected %2F, %3F or %23 "
            "in a password, %40 for an @ behind it"
        )
    return re.sub(r"//.*@", "//", _given(), count=1)


def shown() -> str:
    """The tracking URI without what could be a password or a token."""
    text = _given()
    if not text.startswith(LOCAL):
        text = re.sub(r"//.*@", f"//{HIDDEN}@", text)
    return re.sub(r"\?.*", f"?{HIDDEN}", text)


def named() -> str:
    """The store at the beginning of an error: with the variable, if that says where it is."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return f"MLFLOW_TRACKING_URI: {shown()}"
    return f"MLflow store {shown()}"


def expected() -> str:
    """The end of an error about a store that cannot be used."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return "expected a database of MLflow, or nothing there"
    what = "sqlite:///FILE, or http:// and the address of a running MLflow server"
    if is_server():
        what = "a running MLflow server"
    return f"expected {what}, or unset it for {DEFAULT_URI}"


def credentials() -> dict[str, str]:
    """{variable of MLflow: value} of the name and the password in the address of a server."""
    before, at, _ = re.sub(r"^.*?//", "", _given()).partition("/")[0].rpartition("@")
    if not (at and is_server()):
        return {}
    name, _, password = map(urllib.parse.unquote, before.partition(":"))
    return {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password}


def authorization() -> dict[str, str]:
    """The header of a request to a server whose address has a name and a password."""
    if not credentials():
        return {}
    pair = ":".join(credentials().values())
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _secrets():
    """What `shown` hides of the URI: parts of it, as they stand there and decoded."""
    text = _given()
    before = "" if text.startswith(LOCAL) else "".join(re.findall(r"//(.*)@", text))
    name, colon, password = before.partition(":")
    query = re.findall(r"[?&][^=&]*=([^&]*)", text)
    parts = [before, password if colon else name, *query]
    return {form for part in parts for form in (part, urllib.parse.unquote(part)) if form}


def without_secrets(text: str) -> str:
    """A message of another library, in which the secrets of the URI are hidden."""
    text = text.replace(_given(), shown())
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
