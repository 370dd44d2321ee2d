"""The app that the wire tests talk to: says what it was asked, or answers what it is told to.

It conforms to PEP 3333 and is held to that by `wsgiref.validate`, in httpd as in the tests' own
process. Copied into a project, so it imports only the standard library.

What it is told is JSON in the header `X-Do`; with none, it says what it got:

    status    "204 No Content"
    headers   [[name, value], ...]; other than by default there is no Content-Type
    chunks    the body, piece by piece, characters standing for bytes
    fill      that many bytes instead, in pieces of 64 KiB
    first     a piece that is sent before anything of the request's body is read
    write     send the chunks through the callable that start_response returns
    deaf      do not read the request's body
    fail      raise after the chunks
    tell      say what was got after the chunks
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.validate import validator

BLOCK = 65536


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    do = json.loads(environ.get("HTTP_X_DO") or '{"tell": true}')
    headers = [(name, value) for name, value in do.get("headers", ())]
    if "headers" not in do:
        headers = [("Content-Type", "application/octet-stream")]
    write = start_response(do.get("status", "200 OK"), headers)
    pieces = answer(environ, do)
    if do.get("write"):
        for piece in pieces:
            write(piece)
        return []
    return pieces


def answer(environ: dict[str, Any], do: dict[str, Any]) -> Iterator[bytes]:
    if "first" in do:
        yield do["first"].encode("latin-1")
    size, digest, failed = (0, "", "") if do.get("deaf") else read(environ["wsgi.input"])
    for chunk in do.get("chunks", ()):
        yield chunk.encode("latin-1")
    yield from fill(do.get("fill", 0))
    if do.get("fail"):
        raise RuntimeError("as told")
    if do.get("tell"):
        said: dict[str, Any] = {
            name: value for name, value in environ.items() if isinstance(value, str)
        }
        said["body"] = {"size": size, "sha256": digest, "failed": failed}
        yield json.dumps(said).encode()


def read(stream: Any) -> tuple[int, str, str]:
    """The request's body to its end: its size, its digest, and why it could not be had."""
    digest, size = hashlib.sha256(), 0
    try:
        while block := stream.read(BLOCK):
            digest.update(block)
            size += len(block)
    except OSError as error:
        return size, digest.hexdigest(), type(error).__name__
    return size, digest.hexdigest(), ""


def fill(size: int) -> Iterator[bytes]:
    """That many bytes, of which no two blocks are alike."""
    for number in range(0, size, BLOCK):
        yield (
            b"%016d" % number * (BLOCK // 16) if size - number >= BLOCK else b"." * (size - number)
        )


application = validator(echo)
