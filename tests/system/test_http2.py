"""HTTP/2 as browsers use it: many streams on many connections, each of them answered."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .conftest import Hosted

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""


@pytest.mark.parametrize("person", ["user"], indirect=True)
@pytest.mark.parametrize(("connections", "streams"), [(32, 1), (24, 20)])
def test_no_stream_of_many_is_left_without_an_answer(
    project: Any, connections: int, streams: int
) -> None:
    site: Hosted = project(None, "streams", **{"app.py": APP})
    assert site.up().returncode == 0
    load = ["-n", 20000, "-c", connections, "-m", streams, "-T", 60, "-N", 60]
    done = site.person.run("h2load", *load, f"https://localhost:{site.https}/")
    assert "20000 total, 20000 started, 20000 done, 20000 succeeded" in done.stdout, done.stdout
    assert re.search(r"status codes: 20000 2xx", done.stdout)
