"""The app: shows what the worker and the job have written, the newest first."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from diary import last


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    lines = last(50) or ["Nothing yet: does the worker run?"]
    body = "".join(f"{line}\n" for line in lines).encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    start_response("200 OK", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
