"""Tables that an instance's configuration draws on, each with its source. Pure data."""

from __future__ import annotations

COMPRESSIBLE = (
    "text/html",
    "text/plain",
    "text/css",
    "text/xml",
    "text/javascript",
    "application/javascript",
    "application/json",
    "application/xml",
    "application/wasm",
    "image/svg+xml",
    "font/ttf",
    "font/otf",
)

TLS_CIPHERS = ":".join(
    f"{exchange}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for exchange in ("ECDHE-ECDSA", "ECDHE-RSA")
)
"""Mozilla's "intermediate" suites with forward secrecy, without DHE: ssl-config.mozilla.org 5.7."""

TYPES = {
    "application/javascript": ".cjs",
    "application/json": ".json .map",
    "application/manifest+json": ".webmanifest",
    "application/pdf": ".pdf",
    "application/wasm": ".wasm",
    "application/xml": ".xml",
    "application/zip": ".zip",
    "application/gzip": ".gz .tgz",
    "audio/mpeg": ".mp3",
    "font/otf": ".otf",
    "font/ttf": ".ttf",
    "font/woff": ".woff",
    "font/woff2": ".woff2",
    "image/avif": ".avif",
    "image/gif": ".gif",
    "image/jpeg": ".jpg .jpeg",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "image/webp": ".webp",
    "image/vnd.microsoft.icon": ".ico",
    "text/css": ".css",
    "text/csv": ".csv",
    "text/html": ".html .htm",
    "text/javascript": ".js .mjs",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
}
"""Types of static files, so that an instance does not depend on the system's mime.types."""
