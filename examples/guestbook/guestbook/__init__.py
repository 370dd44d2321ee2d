"""A guestbook: sign it, and read what others wrote."""

import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit
from zlib import crc32

from flask import Flask, abort, flash, redirect, render_template, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer
from psycopg import OperationalError
from werkzeug.exceptions import HTTPException, ServiceUnavailable
from werkzeug.wrappers import Response

from guestbook import database

PAGE = 10
LIMITS = {"name": 60, "message": 1000}

app = Flask(__name__)
app.config.update(
    MAX_CONTENT_LENGTH=64 * 1024,
    SESSION_COOKIE_SAMESITE="Lax",
    SESSION_COOKIE_SECURE=os.environ.get("HOSTEL_URL", "").startswith("https:"),
)


class Sessions(SecureCookieSessionInterface):
    """Cookies signed with a key that is fetched when first needed."""

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        with suppress(OperationalError):
            app.secret_key = app.secret_key or database.secret_key()
        return super().get_signing_serializer(app)


app.session_interface = Sessions()


@app.get("/")
def index() -> str:
    return page({"name": session.get("name", "")})


@app.post("/")
def sign() -> Response | tuple[str, int]:
    form = {field: clean(request.form.get(field, "")) for field in LIMITS}
    form["name"] = " ".join(form["name"].split())
    if errors := {field: error for field in LIMITS if (error := problem(field, form[field]))}:
        return page(form, errors), 422
    number = database.add(**form)
    session["name"] = form["name"]
    flash(f"Thank you, {form['name']}!")
    return redirect(url_for("index", _anchor=f"entry-{number}"), 303)


@app.get("/healthz")
def healthz() -> tuple[str, dict[str, str]]:
    database.value("select 1")
    return "ok\n", {"Content-Type": "text/plain; charset=utf-8"}


def page(form: dict[str, str], errors: dict[str, str] | None = None) -> str:
    before = request.args.get("before", sys.maxsize, int)
    entries = database.latest(PAGE + 1, before)
    return render_template(
        "index.html",
        form=form,
        errors=errors or {},
        limits=LIMITS,
        entries=entries[:PAGE],
        older=entries[PAGE - 1].id if len(entries) > PAGE else None,
        first_page=before == sys.maxsize,
        total=database.value("select count(*) from entry"),
    )


def clean(text: str) -> str:
    """The text with plain line ends, trimmed, without control characters."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    return "".join(c for c in lines if c == "\n" or c >= " ").strip()


def problem(field: str, text: str) -> str | None:
    if not any(c.isprintable() and not c.isspace() for c in text):
        return f"Please write your {field}." if field == "name" else "Please write a message."
    if (excess := len(text) - LIMITS[field]) > 0:
        return f"Please make it shorter by {excess} character{'s'[: excess > 1]}."
    return None


@app.before_request
def refuse_other_sites() -> None:
    """Browsers say where a post comes from; what is not a browser has no cookies to abuse."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    origin = request.headers.get("Origin")
    match request.headers.get("Sec-Fetch-Site"):
        case "same-origin" | "none":
            return
        case None if origin is None or urlsplit(origin).netloc == request.host:
            return
    abort(403, "The form was sent from another site. Please sign on this page.")


@app.after_request
def secure(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@app.errorhandler(OperationalError)
def no_database(error: OperationalError) -> tuple[str, int]:
    app.logger.error("The database does not answer: %s", error)
    return failed(ServiceUnavailable("The guestbook is being looked after. Try again in a minute."))


@app.errorhandler(HTTPException)
def failed(error: HTTPException) -> tuple[str, int]:
    return render_template("error.html", error=error), error.code or 500


@app.template_filter()
def moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%-d %B %Y, %H:%M} UTC"


@app.template_filter()
def ago(when: datetime) -> str:
    minutes = int((datetime.now(UTC) - when).total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes >= 7 * 24 * 60:
        return moment(when)
    units = (("day", 24 * 60), ("hour", 60), ("minute", 1))
    unit, count = next((name, minutes // size) for name, size in units if minutes >= size)
    return f"{count} {unit}{'s'[: count > 1]} ago"


@app.template_filter()
def tone(name: str) -> int:
    """One of six colours, always the same for a name."""
    return crc32(name.encode()) % 6
