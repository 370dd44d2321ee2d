"""What a site may be: each value settled or refused with a sentence."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hostel import site_values as values
from hostel.commands import command
from hostel.site import Site

text = st.text(st.characters(exclude_categories=("Cs",)))


def site(**said: Any) -> Site:
    return Site.model_validate({"name": "guestbook", "app": "guestbook:app", **said})


def refusal(**said: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        site(**said)
    return str(caught.value)


# -- defaults and shape ---------------------------------------------------------------------------


def test_only_name_and_app_are_needed() -> None:
    plain = site()
    assert plain.path == (".",)
    assert plain.domains == plain.keep == ()
    assert plain.server.listen == ("127.0.0.1", "::1")
    assert (plain.server.request_timeout, plain.server.max_body) == (60, 100_000_000)
    assert plain.server.processes is plain.server.threads is None
    assert plain.database is None
    assert plain.tls.mode == "local"
    assert (plain.health.path, plain.health.timeout) == ("/", 30)
    assert plain.hooks.build is plain.hooks.release is None


def test_a_site_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        site().name = "other"


@pytest.mark.parametrize(
    "said",
    [
        {"server": {"processes": "4"}},
        {"server": {"processes": True}},
        {"server": {"request_timeout": 1.0}},
        {"domains": "example.com"},
        {"name": 3},
        {"keep": [1]},
    ],
)
def test_values_are_never_converted_to_another_type(said: dict[str, Any]) -> None:
    assert refusal(**said)


@pytest.mark.parametrize(
    ("said", "extensions"),
    [(True, ()), ({}, ()), ({"extensions": ["citext", "uuid-ossp"]}, ("citext", "uuid-ossp"))],
)
def test_true_or_a_bare_table_asks_for_a_database(said: object, extensions: object) -> None:
    database = site(database=said).database
    assert database is not None
    assert database.extensions == extensions


def test_false_asks_for_no_database() -> None:
    assert site(database=False).database is None


@pytest.mark.parametrize("mode", ["acme", "manual"])
def test_kinds_of_tls_that_come_later_are_named_as_such(mode: str) -> None:
    assert "not part of this version of Hostel yet" in refusal(tls={"mode": mode})


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "guestbook", "my-site-2", "a" * 31])
def test_good_names(name: str) -> None:
    assert site(name=name).name == name


@pytest.mark.parametrize(
    "name", ["", "A", "1a", "-a", "a_b", "a b", "a" * 32, "é", "a\n", "postgres", "public"]
)
def test_names_that_no_role_or_folder_should_have_are_refused(name: str) -> None:
    assert refusal(name=name)


@given(text)
def test_any_folder_name_gives_a_good_site_name(folder: str) -> None:
    assert values.name(values.name_from(folder))


def test_a_site_name_resembles_its_folder() -> None:
    assert values.name_from("My Site (2)") == "my-site-2"
    assert values.name_from("Été") == "ete"
    assert values.name_from("3d") == "site-3d"
    assert values.name_from("日本") == "site"
    assert values.name_from("postgres") == "site-postgres"


# -- app ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("app", "settled"),
    [
        ("guestbook:app", "guestbook:app"),
        ("mysite.wsgi:application", "mysite.wsgi:application"),
        ("shop:create_app()", "shop:create_app()"),
        ("shop:servers.main", "shop:servers.main"),
        ("application.py", "application.py"),
        ("./application.py", "application.py"),
        ("deploy/my site.wsgi", "deploy/my site.wsgi"),
        ("site.py:app", "site.py:app"),
        ("./site.wsgi:app", "./site.wsgi:app"),
        ("my-app.py:make()", "my-app.py:make()"),
    ],
)
def test_apps(app: str, settled: str) -> None:
    assert site(app=app).app == settled


def test_a_module_called_wsgi_is_no_wsgi_file() -> None:
    assert values.app_parts("mysite.wsgi:application").module == "mysite.wsgi"
    assert values.app_parts("mysite.wsgi").file == "mysite.wsgi"
    assert values.app_parts("./mysite.wsgi:app").file == "mysite.wsgi"


@pytest.mark.parametrize(
    "app",
    [
        "",
        ":",
        "guestbook",
        "guestbook:",
        ":app",
        "a b:app",
        "guestbook:app(1)",
        "guestbook:app()()",
        "guestbook:()",
        "../x.py",
        "/etc/x.py",
        "a\n.py",
        "a:b:c",
        "a..b:c",
        "x.py:__import__('os')",
    ],
)
def test_what_names_no_app_is_refused(app: str) -> None:
    assert refusal(app=app)


@given(text)
def test_an_app_that_is_accepted_reads_back_as_itself(app: str) -> None:
    try:
        parts = values.app_parts(app)
    except ValueError:
        return
    assert values.app_parts(str(parts)) == parts


# -- host names and addresses ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "settled"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("localhost", "localhost"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("1and1.com", "1and1.com"),
    ],
)
def test_host_names_are_settled(domain: str, settled: str) -> None:
    assert site(domains=[domain]).domains == (settled,)


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        ("*.example.com", "wildcard"),
        ("https://example.com", "URL"),
        ("example.com/x", "URL"),
        ("example.com:8443", "ports are"),
        ("127.0.0.1", "addresses belong"),
        ("::1", "addresses belong"),
        ("straße.example", "xn--"),
        ("a_b.example", "no host name"),
        ("-a.example", "no host name"),
        ("a..b", "no host name"),
        ("", "no host name"),
        ("a" * 64 + ".example", "no host name"),
        ("a." * 127 + "example", "no host name"),
        ("1.2.3", "ends in a number"),
        ('x" evil', "no host name"),
        ("a\nb", "no host name"),
    ],
)
def test_what_is_no_host_name_is_refused(domain: str, said: str) -> None:
    assert said in refusal(domains=[domain])


@given(text | st.text("abz-.:*/[]%\n\"' é。１", max_size=20))
def test_a_host_name_that_is_accepted_can_stand_anywhere(domain: str) -> None:
    try:
        settled = values.domain(domain)
    except ValueError:
        return
    assert re.fullmatch(r"[a-z0-9.-]{1,253}", settled)
    assert values.domain(settled) == settled


def test_one_name_twice_is_refused_however_it_is_written() -> None:
    assert "twice" in refusal(domains=["example.com", "EXAMPLE.com."])


def test_addresses_to_listen_on_are_settled() -> None:
    assert site(server={"listen": ["[::1]", "0:0::1:2", "0.0.0.0"]}).server.listen == (
        "::1",
        "::1:2",
        "0.0.0.0",
    )


@pytest.mark.parametrize(
    "listen", [[], ["localhost"], ["127.0.0.1:80"], ["*"], ["fe80::1%eth0"], ["::1", "0::1"]]
)
def test_what_is_no_address_is_refused(listen: list[str]) -> None:
    assert refusal(server={"listen": listen})


# -- paths and prefixes ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/etc", "..", "a/../b", "", "a\nb", "a\0", "~/x", ".hostel", "."])
def test_paths_out_of_the_project_are_refused(path: str) -> None:
    assert refusal(keep=[path])
    assert refusal(static={"/x": path})


def test_paths_are_settled() -> None:
    assert site(keep=["./media/", "a//b"]).keep == ("media", "a/b")
    assert site(path=["src", "."]).path == ("src", ".")


def test_what_is_kept_must_not_lie_in_what_is_kept() -> None:
    assert "kept already" in refusal(keep=["media", "media/large"])
    assert refusal(keep=["media", "./media"])


@pytest.mark.parametrize("prefix", ["/static", "/a/b", "/été", "/a b", "/.well-known"])
def test_good_prefixes(prefix: str) -> None:
    assert site(static={prefix: "public"}).static == {prefix: "public"}


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "/",
        "//",
        "static",
        "/static/",
        "/a//b",
        "/../a",
        "/a/..",
        "/./a",
        "/a?b",
        "/a#b",
        "/a%2e",
        "/a\\b",
        "/a\nb",
        "/a\x00",
        "/.well-known/hostel",
        "/.well-known/hostel/x",
    ],
)
def test_prefixes_that_are_none_are_refused(prefix: str) -> None:
    assert refusal(static={prefix: "public"})


@given(text | st.text("/.a%\\?#\n\x7f", max_size=10))
def test_a_prefix_that_is_accepted_is_a_plain_path(prefix: str) -> None:
    try:
        assert values.url_prefix(prefix) == prefix
    except ValueError:
        return
    assert re.fullmatch(r"(/[^/\x00-\x1f\x7f?#%\\]+)+", prefix)
    assert not {".", ".."} & set(prefix.split("/"))


@given(text)
def test_a_folder_that_is_accepted_lies_in_the_project(folder: str) -> None:
    try:
        settled = values.relative(folder)
    except ValueError:
        return
    assert not settled.startswith("/")
    assert ".." not in settled.split("/")


# -- numbers, versions, environment ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "size"),
    [("100MB", 10**8), ("1 GB", 10**9), ("1gib", 2**30), ("512", 512), (512, 512), ("2KiB", 2048)],
)
def test_sizes(said: object, size: int) -> None:
    assert site(server={"max_body": said}).server.max_body == size


@pytest.mark.parametrize("said", [0, -1, "0", "", "MB", "1.5GB", "1 XB", True, 1.0, "9999GB", None])
def test_sizes_that_are_none_are_refused(said: object) -> None:
    assert refusal(server={"max_body": said})


@pytest.mark.parametrize("version", ["3.11", "3.11.2", "3.9"])
def test_good_versions_of_python(version: str) -> None:
    assert site(python=version).python == version


@pytest.mark.parametrize("version", ["2.7", "3", "3.x", ">=3.11", "", "3.11.2.1", 3, "3.11\n"])
def test_other_versions_of_python_are_refused(version: object) -> None:
    assert refusal(python=version)


def test_a_version_that_is_a_number_is_refused_since_3_10_would_be_3_1() -> None:
    assert "in quotes" in refusal(python=3.10)


@pytest.mark.parametrize("value", [8080, True, 1.5, None, ["a"]])
def test_a_variable_that_is_no_text_is_refused(value: object) -> None:
    assert "write it as a string" in refusal(env={"PORT": value})


@pytest.mark.parametrize("name", ["", "A=B", "A\0"])
def test_names_that_no_variable_can_have_are_refused(name: str) -> None:
    assert refusal(env={name: "x"})


@given(
    st.dictionaries(
        text.filter(lambda name: bool(name) and not set(name) & set("=\0")),
        text.filter(lambda value: "\0" not in value),
    )
)
def test_any_other_variable_comes_through_unchanged(env: dict[str, str]) -> None:
    assert site(env=env).env == env


@pytest.mark.parametrize("path", ["", "x", "/a b", "/é", "/a#b", "/a\n", '/"'])
def test_health_paths_that_no_request_can_hold_are_refused(path: str) -> None:
    assert refusal(health={"path": path})


# -- hooks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("python manage.py migrate", ("python", "manage.py", "migrate")),
        ("  a  'b c'  ", ("a", "b c")),
        ("a '&&' \"|\" x\\;y 'c > d' '$HOME'", ("a", "&&", "|", "x;y", "c > d", "$HOME")),
        ('a 5$ "it\'s"', ("a", "5$", "it's")),
        (["a", "&&", "$HOME", ""], ("a", "&&", "$HOME", "")),
    ],
)
def test_commands(said: object, words: tuple[str, ...]) -> None:
    assert site(hooks={"build": said}).hooks.build == words


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("a && b", "&&"),
        ("a&b", "&"),
        ("a | b", "|"),
        ("a; b", ";"),
        ("a > b", ">"),
        ("a 2>&1", ">&"),
        ("a $(b)", "$("),
        ('a "$(b)"', "$("),
        ("a $HOME", "$HOME"),
        ("a `b`", "`"),
        ("a\nb", "\\n"),
    ],
)
def test_what_only_a_shell_could_do_is_refused_by_name(said: str, found: str) -> None:
    assert f'"{found}" would need a shell' in refusal(hooks={"build": said})


@pytest.mark.parametrize("said", ["", "  ", [], [""], ["a", 1], "a 'b", "X=1 a", 3, ["a\0"], True])
def test_what_is_no_command_is_refused(said: object) -> None:
    assert refusal(hooks={"release": said})


@given(st.lists(text.filter(lambda word: "\0" not in word), min_size=1))
def test_quoted_words_come_back_as_they_were(words: list[str]) -> None:
    if words[0] == "" or "=" in words[0]:
        return
    assert command(shlex.join(words)) == tuple(words)


@given(text)
def test_messages_about_any_value_stay_on_one_line(value: str) -> None:
    assert values.shown(value).isprintable()


# -- workers, cron, limits ------------------------------------------------------------------------


def test_a_worker_is_a_command_or_a_table() -> None:
    said = {"a": "x 'y z'", "b": ["x", "&&"], "c": {"command": "x", "count": 3}}
    workers = site(workers=said).workers
    assert [worker.command for worker in workers.values()] == [("x", "y z"), ("x", "&&"), ("x",)]
    assert [worker.count for worker in workers.values()] == [1, 1, 3]


@pytest.mark.parametrize("name", ["a", "mail-2", "a" * 21])
def test_names_of_workers_and_jobs(name: str) -> None:
    assert set(site(workers={name: "x"}).workers) == {name}


@pytest.mark.parametrize("name", ["", "A", "1", "a_b", "a.b", "a@b", "a b", "a" * 22, "a\n", "é"])
def test_names_that_no_unit_should_have_are_refused(name: str) -> None:
    assert refusal(workers={name: "x"})
    assert refusal(cron={name: {"schedule": "@daily", "command": "x"}})


@pytest.mark.parametrize(
    "said",
    [
        {"a": 3},
        {"a": None},
        {"a": {}},
        {"a": {"command": "x", "count": 65}},
        {"a": {"command": "x", "stop_timeout": "2h"}},
        {"a": {"command": "x", "memory": "1KB"}},
        {"a": "x && y"},
        ["x"],
    ],
)
def test_workers_that_are_none_are_refused(said: object) -> None:
    assert refusal(workers=said)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"command": "x"},
        {"schedule": "@daily"},
        {"schedule": "@daily", "command": "x", "overlap": True},
        {"schedule": "@daily", "command": "x", "timeout": "8d"},
        {"schedule": 5, "command": "x"},
        {"schedule": "@daily", "command": "x", "timezone": "../UTC"},
    ],
)
def test_jobs_that_are_none_are_refused(said: object) -> None:
    assert refusal(cron={"a": said})


def test_a_schedule_is_settled() -> None:
    job = site(cron={"a": {"schedule": " 0\t3 * *  Mon ", "command": "x"}}).cron["a"]
    assert (job.schedule, job.timeout, job.timezone) == ("0 3 * * Mon", 3600, None)


def test_limits_are_none_unless_they_are_said() -> None:
    plain = site().server
    assert plain.memory is plain.tasks is plain.cpu is None
    said = site(server={"memory": "512MB", "tasks": 200, "cpu": 2}).server
    assert (said.memory, said.tasks, said.cpu) == (512_000_000, 200, 2.0)


@pytest.mark.parametrize(
    "said",
    [{"memory": "0"}, {"tasks": 15}, {"tasks": 1.5}, {"cpu": 0}, {"cpu": True}, {"cpu": "150%"},
     {"cpu": float("nan")}, {"cpu": float("inf")}, {"cpu": -1}],
)  # fmt: skip
def test_limits_that_are_none_are_refused(said: dict[str, Any]) -> None:
    assert refusal(server=said)
