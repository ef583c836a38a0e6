"""Artifacts that a test changes, with a record that says so."""

import hashlib
import json


def sign(folder):
    """Renews the records of what was changed in results/ of `folder`, as if it had been written so.

    What is gone stays in its record.
    """
    for record in [
        *(folder / "results").rglob(".record"),
        *(folder / "results").rglob(".*.record"),
    ]:
        about = json.loads(record.read_text())
        content = about["content"]
        names = set(content)
        if record.name == ".record":
            inside = [path for path in record.parent.rglob("*") if path.is_file()]
            shown = [path for path in inside if not path.name.startswith(".")]
            names |= {path.relative_to(record.parent).as_posix() for path in shown}
        for name in names:
            file = record.parent / name
            if file.is_file():
                content[name] = hashlib.sha256(file.read_bytes()).hexdigest()
        text = json.dumps(about)
        if json.loads(record.read_text()) != about:
            record.write_text(text)
