"""What uv gets to see, and how its failures are told."""

from __future__ import annotations

import pytest

from hostel.uvtool import environment, explain, short

NO_PACKAGE = """  × No solution found when resolving dependencies:
  ╰─▶ Because no-such-thing was not found in the package registry and you
      require no-such-thing, we can conclude that your requirements are
      unsatisfiable.
"""
NO_VERSION = """  × No solution found when resolving dependencies:
  ╰─▶ Because there is no version of flask==99 and you require flask==99, we
      can conclude that your requirements are unsatisfiable.
"""
NO_NETWORK = """error: Request failed after 3 retries
  Caused by: Failed to fetch: `https://index.example/simple/flask/`
  Caused by: client error (Connect)
  Caused by: dns error
"""
NO_HEADER = """  × Failed to build `mysqlclient==2.2.4`
  ├─▶ The build backend returned an error
  ╰─▶ Call to `setuptools.build_meta.build_wheel` failed (exit status: 1)
      src/_mysql.c:29:10: fatal error: mysql.h: No such file or directory
"""
NO_COMPILER = """  × Failed to build `uwsgi==2.0`
      error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory
"""
NO_LIBRARY = """   Building mysqlclient==2.2.4
error: Failed to build `mysqlclient==2.2.4`
  cause: The build backend returned an error
         Command 'pkg-config --exists mysqlclient' returned non-zero exit status 1.

hint: Build failures usually indicate a problem with the package
"""
NO_NAME = """error: The build backend returned an error
  cause: Call to `backend.build_wheel` failed (exit status: 1)
"""
OFFLINE = """error: No solution found when resolving dependencies
  cause: Because flask was not found in the cache and you require flask==3, we can conclude that \
your requirements are unsatisfiable.

hint: Packages were unavailable because the network was disabled.
"""
FULL = """error: Failed to create virtualenv
  Caused by: failed to create file `/srv/x/bin/activate`: No space left on device (os error 28)
"""
BROKEN_LINE = """error: Couldn't parse requirement in `requirements.txt` at position 0
  Caused by: no such comparison operator "=", must be one of ~= == != <= >= < > ===
"""


@pytest.mark.parametrize(
    ("said", "happened", "remedy"),
    [
        (NO_PACKAGE, "no package no-such-thing", "Check the name"),
        (NO_VERSION, "no version flask==99", "version that exists"),
        (NO_NETWORK, "cannot be reached", "proxy"),
        (NO_HEADER, "mysqlclient==2.2.4 cannot be built", "mysql.h"),
        (NO_COMPILER, "uwsgi==2.0 cannot be built", "build-essential"),
        (NO_LIBRARY, "mysqlclient==2.2.4 cannot be built", "-dev"),
        (NO_NAME, "a package cannot be built", ""),
        (OFFLINE, "cannot be reached", "network"),
        (FULL, "failed to create file `/srv/x/bin/activate`: No space", "Free some space"),
        (BROKEN_LINE, "Couldn't parse requirement in `requirements.txt`", ""),
        ("", "uv failed", ""),
    ],
)
def test_what_people_meet_is_named(said: str, happened: str, remedy: str) -> None:
    told, advice = explain(said)
    assert happened in told
    assert remedy in advice


def test_uv_keeps_the_index_and_the_proxy_of_its_caller_and_loses_what_would_mislead_it() -> None:
    kept = {
        "HOME": "/h",
        "PATH": "/bin",
        "UV_INDEX_MINE_PASSWORD": "x",
        "UV_DEFAULT_INDEX": "u",
        "https_proxy": "p",
        "HTTP_PROXY": "p",
        "SSL_CERT_FILE": "c",
        "UV_CACHE_DIR": "d",
    }
    lost = {
        "VIRTUAL_ENV": "/v",
        "UV_PROJECT_ENVIRONMENT": "/v",
        "UV_PYTHON": "3.9",
        "PYTHONPATH": "/",
        "UV_NO_SYNC": "1",
        "DATABASE_URL": "s",
        "PYTHONHOME": "/",
        "UV_PROJECT": "/p",
    }
    seen = environment(kept | lost)
    assert kept.items() <= seen.items()
    assert not lost.keys() & seen.keys()


def test_short_leaves_out_what_says_nothing() -> None:
    said = "Using Python 3.11\nResolved 3 packages\n\nerror: no\n"
    assert short(said) == ["error: no"]
    assert short(NO_LIBRARY)[-1].strip().startswith("Command")
