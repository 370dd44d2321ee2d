"""The JSON Schema of the site file, for editors and for programs that write site files.

Made from the model alone; describes the file as written in TOML. `python -m hostel.schema FILE`
writes it anew. What a schema cannot say (host names, paths) stays with `hostel.site`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hostel import site_values as values
from hostel.site import Site

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def document() -> dict[str, Any]:
    """The schema as a JSON object."""
    made = _plain(Site.model_json_schema(mode="validation"))
    assert isinstance(made, dict)
    properties = made["properties"]
    properties["name"]["pattern"] = f"^{values.NAME.pattern}$"
    properties["python"]["pattern"] = f"^{values.PYTHON.pattern}$"
    properties["static"]["propertyNames"] = {"pattern": "^/[^?#%\\\\]*[^/?#%\\\\]$"}
    properties["env"]["propertyNames"] = {"pattern": "^[^=]+$"}
    for table in ("workers", "cron"):
        properties[table]["propertyNames"] = {"pattern": f"^{values.TASK.pattern}$"}
    # Both have defaults that come from the project, so no site file has to say them.
    del made["required"]
    made |= {
        "$schema": DIALECT,
        "title": "hostel.toml",
        "description": "The site file of Hostel; the same keys in pyproject.toml: [tool.hostel].",
    }
    return dict(sorted(made.items(), key=lambda item: (item[0][0] != "$", item[0] == "$defs")))


def text() -> str:
    """The schema as the file holds it."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _plain(node: Any) -> Any:
    """Without what TOML has not (null) and what only repeats names (titles)."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {
        name: _plain(value)
        for name, value in node.items()
        if not (name == "title" and isinstance(value, str))
        and not (name == "default" and value is None)
    }
    options = [option for option in plain.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        del plain["anyOf"]
        return {**options[0], **plain}
    if options:
        plain["anyOf"] = options
    if isinstance(plain.get("default"), dict):
        # The defaults of a table are those of its keys.
        del plain["default"]
    return plain


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
