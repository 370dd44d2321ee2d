"""The store keeps variables exactly, for its owner alone, and never shows one."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hostel import envstore
from hostel.envstore import LONGEST, Entry, Live, Store, layered, load, save, update
from hostel.errors import HostelError, UsageError
from hostel.machine import Machine

SECRET = "hunter2-do-not-show"

good = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
good_names = good.filter(lambda name: name and "=" not in name)
variables = st.dictionaries(good_names, good)
any_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def place(tmp_path: Path) -> Path:
    return tmp_path / "sites" / "shop" / "env.json"


def kept(tmp_path: Path, **values: str) -> Path:
    path = place(tmp_path)
    save(path, Store(values), Machine())
    return path


def refusal(path: Path) -> HostelError:
    with pytest.raises(HostelError) as caught:
        load(path)
    said = (str(caught.value), caught.value.remedy, caught.value.detail)
    assert SECRET not in "".join(said)
    assert caught.value.remedy
    return caught.value


# -- keeping --------------------------------------------------------------------------------------


@any_folder
@given(variables)
@example(
    {"A": "", "B": "\n", "C": "\"'$(x)`\\", "D": "\ufeff\u2028", "é": "\U0001f512", "a b": " "}
)
def test_all_that_a_variable_can_hold_comes_back_exactly(
    tmp_path: Path, values: dict[str, str]
) -> None:
    path = place(tmp_path)
    save(path, Store(values), Machine())
    assert load(path).values == values


@any_folder
@given(variables, variables)
def test_a_change_keeps_what_it_does_not_speak_of(
    tmp_path: Path, first: dict[str, str], then: dict[str, str]
) -> None:
    path = place(tmp_path)
    save(path, Store(first), Machine())
    before, after = update(path, lambda values: {**values, **then}, Machine())
    assert before.values == first
    assert after.values == load(path).values == {**first, **then}


def test_nothing_is_kept_where_there_is_no_file(tmp_path: Path) -> None:
    assert load(place(tmp_path)).values == {}


def test_it_is_readable_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = kept(tmp_path, A="1")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_change_that_fails_leaves_what_was_kept(tmp_path: Path) -> None:
    path = kept(tmp_path, A="1")

    def stop(_values: object) -> dict[str, str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update(path, stop, Machine())
    assert load(path).values == {"A": "1"}
    assert [file.name for file in path.parent.iterdir()] == ["env.json"]


def test_what_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    path = kept(tmp_path, A="1")
    before = path.stat().st_ino
    update(path, dict, Machine())
    assert path.stat().st_ino == before


def test_runs_at_the_same_time_lose_nothing_of_each_other(tmp_path: Path) -> None:
    path = place(tmp_path)

    def keep(number: int) -> None:
        for name in (f"V{number}_{count}" for count in range(10)):
            update(path, lambda values, name=name: {**values, name: "x"}, Machine())

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(load(path).values) == 40


# -- refusing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("A", f"{SECRET}\0"),
        ("A", f"{SECRET}\ud800"),
        ("A", SECRET + "x" * LONGEST),
        ("A", SECRET + "é" * (LONGEST // 2)),
        ("", SECRET),
        ("A=B", SECRET),
        ("A\0", SECRET),
        ("A\udcff", SECRET),
    ],
)
def test_what_no_variable_can_hold_is_refused_without_being_shown(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(UsageError) as caught:
        save(place(tmp_path), Store({"B": "1", name: value}), Machine())
    assert SECRET not in f"{caught.value}{caught.value.remedy}{caught.value.detail}"
    assert not place(tmp_path).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="others have other limits")
def test_the_longest_that_linux_takes_is_kept(tmp_path: Path) -> None:
    value = "x" * (LONGEST - len("A=") - 1)
    path = kept(tmp_path, A=value)
    os.posix_spawn("/bin/true", ["true"], {"A": load(path).values["A"]})
    os.wait()
    with pytest.raises(OSError, match="too long"):
        os.posix_spawn("/bin/true", ["true"], {"A": f"{value}x"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 1}',
        '{"values": ["SECRET"]}',
        '{"values": {"A": 1, "B": "SECRET"}}',
        '{"values": {"A=B": "SECRET"}}',
        '{"values": {"A": "SECRET\\u0000"}}',
        '{"values": {"A": "SECRET\\ud800"}}',
        '{"values": {"A": "SECRET"',
        "[" * 100_000,
        "\udcff",
    ],
)
def test_a_damaged_file_is_said_to_be_one_without_showing_it(tmp_path: Path, text: str) -> None:
    path = kept(tmp_path, A="1")
    path.write_bytes(text.replace("SECRET", SECRET).encode(errors="surrogateescape"))
    error = refusal(path)
    assert "damaged" in error.happened
    assert str(path) in f"{error}"
    assert error.__cause__ is None


def test_a_damaged_file_is_not_written_over(tmp_path: Path) -> None:
    path = kept(tmp_path, A="1")
    path.write_text(f"{SECRET}")
    with pytest.raises(HostelError, match="damaged"):
        update(path, lambda _values: {"B": "2"}, Machine())
    assert path.read_text() == SECRET


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o602, 0o604, 0o610])
def test_a_file_that_others_can_open_is_refused_with_the_command_that_closes_it(
    tmp_path: Path, mode: int
) -> None:
    path = kept(tmp_path, A=SECRET)
    path.chmod(mode)
    error = refusal(path)
    assert f"{mode:04o}" in error.happened
    assert f"chmod 600 {path}" in error.remedy
    path.chmod(0o600)
    assert load(path).values == {"A": SECRET}


def test_a_folder_in_which_others_can_exchange_it_is_refused(tmp_path: Path) -> None:
    path = kept(tmp_path, A=SECRET)
    path.parent.chmod(0o777)
    assert f"chmod 700 {path.parent}" in refusal(path).remedy


def test_what_is_no_file_of_its_own_is_refused(tmp_path: Path) -> None:
    path = kept(tmp_path, A=SECRET)
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))
    assert "link" in refusal(path).happened
    path.unlink()
    os.mkfifo(path, 0o600)
    assert "no plain file" in refusal(path).happened
    path.unlink()
    path.mkdir(0o700)
    assert refusal(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = kept(tmp_path, A=SECRET)
    os.chown(path, 65534, 65534)
    assert "another user" in refusal(path).happened
    os.chown(path, 0, 0)
    os.chown(path.parent, 65534, 65534)
    assert "exchange" in refusal(path).happened


def test_whether_we_may_keep_something_is_known_before_anything_is_made(tmp_path: Path) -> None:
    path = place(tmp_path)
    assert envstore.may_keep(path)
    assert list(tmp_path.iterdir()) == []
    assert not envstore.may_keep(Path("/proc/sites/shop/env.json")) or os.geteuid() == 0


# -- showing nothing ------------------------------------------------------------------------------


def test_no_repr_holds_a_value() -> None:
    live = Live(Path("/srv"), {"A": SECRET}, {"B": SECRET})
    for thing in (Store({"A": SECRET}), Entry("A", SECRET, "store"), live):
        assert SECRET not in repr(thing)


# -- laying over one another ----------------------------------------------------------------------


def test_the_store_wins_over_dotenv_and_dotenv_over_the_site_file() -> None:
    site_env = {"A": "env", "B": "env", "C": "env", "D": "env"}
    dotenv = {"B": "dotenv", "D": "dotenv"}
    assert layered(site_env, dotenv, {"C": "store", "D": "store", "E": "store"}) == [
        Entry("A", "env", "[env]"),
        Entry("B", "dotenv", ".env", ("[env]",)),
        Entry("C", "store", "store", ("[env]",)),
        Entry("D", "store", "store", (".env", "[env]")),
        Entry("E", "store", "store"),
    ]


@given(variables, variables, variables)
def test_every_variable_is_there_once_as_the_last_source_says(
    site_env: dict[str, str], dotenv: dict[str, str], store: dict[str, str]
) -> None:
    entries = layered(site_env, dotenv, store)
    assert {entry.name: entry.value for entry in entries} == {**site_env, **dotenv, **store}
    assert [entry.name for entry in entries] == sorted({*site_env, *dotenv, *store})


def test_the_file_is_text_that_a_person_can_mend(tmp_path: Path) -> None:
    path = kept(tmp_path, B="é", A="1")
    assert json.loads(path.read_text()) == {"version": 1, "values": {"A": "1", "B": "é"}}
    assert path.read_text().index('"A"') < path.read_text().index('"B"')
