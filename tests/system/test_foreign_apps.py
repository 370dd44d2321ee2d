"""Apps that nobody here wrote, as PyPI has them, used by their own clients."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from .conftest import Hosted, place

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]


# -- pypiserver: an index that twine uploads to and pip installs from -----------------------------

INDEX = {
    "requirements.txt": "pypiserver[passlib]==2.4.2\n",
    "hostel.toml": 'app = "index.py"\n[health]\npath = "/health"\n',
    # pypiserver.app() takes arguments that only the machine knows: three lines of the user's own.
    "index.py": """
import os
from pathlib import Path

import pypiserver

packages = Path(os.environ["DATA_DIR"], "packages")
packages.mkdir(exist_ok=True)
application = pypiserver.app(
    roots=[packages],
    password_file=Path(__file__).with_name("htpasswd"),
    authenticate=["update"],
    disable_fallback=True,
)
""",
}

PASSWORD = "pass: word/+%"


@pytest.fixture(scope="module")
def tools() -> Iterator[Path]:
    """A virtual environment with pip and the real twine, for everybody to run."""
    folder = Path(tempfile.mkdtemp(prefix="hostel-tools-", dir="/tmp"))
    folder.chmod(0o755)
    uv = Path(sys.prefix) / "bin" / "uv"
    try:
        subprocess.run(
            [uv, "venv", "--quiet", "--python", "/usr/bin/python3", folder / "venv"], check=True
        )
        subprocess.run(
            [
                uv,
                "pip",
                "install",
                "--quiet",
                "--python",
                folder / "venv",
                "--link-mode",
                "copy",
                "pip",
                "twine>=6,<8",
            ],
            check=True,
        )
        yield folder / "venv" / "bin"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel written by hand: a module that knows its version, and 300 kB of data."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": f'VERSION = "{version}"\n'.encode(),
        f"{name}/data.bin": os.urandom(300_000),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        "Summary: made by a test\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n",
    }
    path = folder / f"{name}-{version}-py3-none-any.whl"
    record = []
    with ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            record.append(f"{file},sha256={digest.decode()},{len(content)}\n")
        archive.writestr(f"{info}/RECORD", "".join(record) + f"{info}/RECORD,,\n")
    return path


def htpasswd(name: str, password: str) -> str:
    digest = base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
    return f"{name}:{{SHA}}{digest}\n"


def upload(
    site: Hosted, tools: Path, password: str, *files: Path
) -> subprocess.CompletedProcess[str]:
    return site.person.run(
        tools / "twine",
        "upload",
        "--non-interactive",
        "--disable-progress-bar",
        "--repository-url",
        f"https://localhost:{site.https}/",
        *files,
        TWINE_CERT=site.authority(),
        TWINE_USERNAME="ada",
        TWINE_PASSWORD=password,
        LANG="C.UTF-8",
        SSL_CERT_FILE="",
        SSL_CERT_DIR="",
    )


def install(
    site: Hosted, tools: Path, target: Path, what: str, *more: str
) -> subprocess.CompletedProcess[str]:
    """Install from this index and nowhere else: no settings of the machine, no cache."""
    return site.person.run(
        tools / "python",
        "-m",
        "pip",
        "--isolated",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "install",
        "--no-deps",
        "--target",
        target,
        "--index-url",
        f"https://localhost:{site.https}/simple/",
        *more,
        what,
        PIP_CONFIG_FILE=os.devnull,
    )


def test_packages_go_through_a_hosted_index_by_twine_and_pip(project: Any, tools: Path) -> None:
    site: Hosted = project(None, "index", **INDEX, htpasswd=htpasswd("ada", PASSWORD))
    done = site.up()
    assert done.returncode == 0, done.stderr
    name = f"hostel_test_{os.urandom(6).hex()}"
    made = site.root.parent / "made"
    made.mkdir()
    first, second = wheel(made, name, "1.0"), wheel(made, name, "1.1")
    site.person.owns(made)

    refused = upload(site, tools, "wrong", first)
    assert refused.returncode != 0
    assert "403" in refused.stdout + refused.stderr
    for one in (first, second):
        sent = upload(site, tools, PASSWORD, one)
        assert sent.returncode == 0, sent.stdout + sent.stderr
    again = upload(site, tools, PASSWORD, first)
    assert again.returncode != 0
    assert "400" in again.stdout + again.stderr  # what pypiserver tells twine of a known file

    assert f"{name}-1.1-py3-none-any.whl" in site.get(f"/simple/{name.replace('_', '-')}/").text
    stranger = install(site, tools, made / "untrusted", name, "--retries", "0")
    assert stranger.returncode != 0
    assert "CERTIFICATE_VERIFY_FAILED" in stranger.stdout + stranger.stderr

    def installed(target: Path, what: str) -> str:
        got = install(site, tools, target, what, "--cert", site.authority())
        assert got.returncode == 0, got.stdout + got.stderr
        content = (target / name / "data.bin").read_bytes()
        with ZipFile(first if "1.0" in what else second) as archive:
            assert content == archive.read(f"{name}/data.bin")
        said = site.person.run(
            "/usr/bin/python3",
            "-c",
            f"import {name}; print({name}.VERSION)",
            PYTHONPATH=str(target),
        )
        return said.stdout.strip() or said.stderr

    assert installed(made / "newest", name) == "1.1"
    assert site.down().returncode == 0
    assert site.up().returncode == 0
    assert installed(made / "older", f"{name}==1.0") == "1.0"


# -- httpbin: every corner of HTTP, from Flask ----------------------------------------------------

BIN = {"requirements.txt": "httpbin[mainapp]==0.10.4\n", "hostel.toml": 'app = "httpbin:app"\n'}


@pytest.fixture(scope="module", params=["user", "root"])
def httpbin(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    """A project of two files, neither of them code."""
    site = place(request.getfixturevalue(request.param), None, "httpbin")
    try:
        for name, text in BIN.items():
            site.write(name, text)
        done = site.up()
        assert done.returncode == 0, done.stderr
        yield site
    finally:
        site.end()
        shutil.rmtree(site.root.parent, ignore_errors=True)
        if site.person.uid == 0:
            shutil.rmtree(site.state.parent, ignore_errors=True)
    assert not site.strays()


def said(site: Hosted, path: str, *arguments: Any, **named: Any) -> dict[str, Any]:
    answer = site.get(path, *arguments, **named)
    assert answer.status == 200, answer
    return dict(json.loads(answer.body))


def test_httpbin_sees_query_url_and_headers(httpbin: Hosted) -> None:
    got = said(httpbin, "/get?a=1&a=2&b=%C3%BC%26", headers={"X-Mine": "yes", "Accept": "a/b"})
    assert got["args"] == {"a": ["1", "2"], "b": "ü&"}
    assert got["url"] == f"https://localhost:{httpbin.https}/get?a=1&a=2&b=ü%26"
    assert got["origin"] == "127.0.0.1"
    got = said(httpbin, "/headers", headers={"X-Mine": "yes", "Accept": "a/b"})["headers"]
    assert (got["X-Mine"], got["Accept"]) == ("yes", "a/b")


def test_httpbin_gets_a_form_and_a_large_body(httpbin: Hosted) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    got = said(httpbin, "/post", "POST", b"name=Ada&text=a%0Ab&text=%F0%9F%98%80", form)
    assert got["form"] == {"name": "Ada", "text": ["a\nb", "😀"]}
    large = bytes(range(256)) * 4096
    got = said(httpbin, "/post", "POST", large, {"Content-Type": "application/octet-stream"})
    kind, _, data = got["data"].partition(",")
    assert kind == "data:application/octet-stream;base64"
    assert base64.b64decode(data) == large
    boundary = (
        b"--x\r\nContent-Disposition: form-data; name=f; filename=f.bin\r\n"
        b"Content-Type: text/plain\r\n\r\nin the file\r\n--x--\r\n"
    )
    got = said(
        httpbin, "/post", "POST", boundary, {"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert got["files"] == {"f": "in the file"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_httpbin_gets_json_by_other_methods(httpbin: Hosted, method: str) -> None:
    got = said(
        httpbin,
        f"/{method.lower()}",
        method,
        b'{"a": [1, null]}',
        {"Content-Type": "application/json"},
    )
    assert got["json"] == {"a": [1, None]}


def test_httpbins_own_compression_is_left_alone(httpbin: Hosted) -> None:
    answer = httpbin.get("/gzip", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(answer.body))["gzipped"] is True
    assert said(httpbin, "/get")["args"] == {}


@pytest.mark.parametrize("status", [200, 204, 304, 404, 418, 429, 500, 503])
def test_httpbins_status_is_the_answers(httpbin: Hosted, status: int) -> None:
    answer = httpbin.get(f"/status/{status}")
    assert answer.status == status
    assert ("teapot" in answer.text) == (status == 418)
    assert b"Apache" not in answer.body


def test_httpbins_redirects_stay_as_it_wrote_them(httpbin: Hosted) -> None:
    answer = httpbin.get("/redirect-to?url=get%3Fa%3Db&status_code=307")
    assert (answer.status, answer.headers["location"]) == (307, "get?a=b")
    answer = httpbin.get("/absolute-redirect/1")
    assert answer.headers["location"] == f"https://localhost:{httpbin.https}/get"


def test_httpbin_gets_credentials_and_cookies(httpbin: Hosted) -> None:
    token = base64.b64encode(b"u:p").decode()
    assert httpbin.get("/basic-auth/u/p").status == 401
    got = said(httpbin, "/basic-auth/u/p", headers={"Authorization": f"Basic {token}"})
    assert got == {"authenticated": True, "user": "u"}
    got = said(httpbin, "/bearer", headers={"Authorization": "Bearer abc"})
    assert got["token"] == "abc"
    answer = httpbin.get("/cookies/set/mood/good")
    assert answer.headers["set-cookie"] == "mood=good; Secure; Path=/"
    assert said(httpbin, "/cookies", headers={"Cookie": "a=1; b=2"})["cookies"] == {
        "a": "1",
        "b": "2",
    }


def test_httpbin_streams_lines_bytes_and_ranges(httpbin: Hosted) -> None:
    lines = httpbin.get("/stream/5").text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [0, 1, 2, 3, 4]
    answer = httpbin.get("/bytes/1024")
    assert (len(answer.body), answer.headers["content-length"]) == (1024, "1024")
    assert len(httpbin.get("/stream-bytes/100000?chunk_size=999").body) == 100_000
    whole = httpbin.get("/range/1000")
    part = httpbin.get("/range/1000", headers={"Range": "bytes=100-199"})
    assert part.status == 206
    assert part.headers["content-range"] == "bytes 100-199/1000"
    assert part.body == whole.body[100:200]
    assert httpbin.get("/etag/x", headers={"If-None-Match": '"x"'}).status == 304


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_httpbin_is_the_same_by_either_version_of_http(httpbin: Hosted, version: str) -> None:
    def ask(path: str, *words: str, data: bytes | None = None) -> tuple[str, bytes]:
        done = subprocess.run(
            [
                "curl",
                "--silent",
                "--show-error",
                "--max-time",
                "120",
                version,
                "--cacert",
                httpbin.authority(),
                "--write-out",
                r"\n%{http_version} %{http_code}",
                *words,
                f"https://localhost:{httpbin.https}{path}",
            ],
            input=data,
            capture_output=True,
            check=False,
            timeout=150,
        )
        assert done.returncode == 0, done.stderr
        body, _, facts = done.stdout.rpartition(b"\n")
        spoken, code = facts.decode().split()
        assert spoken == ("2" if version == "--http2" else "1.1")
        return code, body

    assert json.loads(ask("/get?x=%2F")[1])["args"] == {"x": "/"}
    code, body = ask(
        "/anything", "-H", "Content-Type: text/plain", "--data-binary", "@-", data=b"y" * 1_000_000
    )
    assert (code, len(json.loads(body)["data"])) == ("200", 1_000_000)
    assert ask("/basic-auth/u/p", "-u", "u:p")[0] == "200"
    assert ask("/absolute-redirect/2", "--location")[0] == "200"
    assert len(ask("/stream/5")[1].splitlines()) == 5
    assert len(ask("/drip?numbytes=5&duration=0")[1]) == 5
