"""`hostel env` as it is typed: what comes in by which way, what is shown, what stays hidden.

Its server is a folder of the test's own; that a change goes live is tried on a real one.
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hostel.envstore import LONGEST
from hostel.masking import MASK

SECRET = "hunter2-do-not-show"

HOSTEL = """
import sys
from pathlib import Path
from hostel.cli import main, which
from hostel.platforms.debian import ServerPlaces
server = Path(sys.argv[1])
which.PLACES = ServerPlaces(etc=server / "etc", var=server / "var")
sys.argv = ["hostel", *sys.argv[2:]]
main()
"""


class Server:
    """A server without a system: the folders in which Hostel keeps things, and a project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "shop"
        self.project.mkdir()
        (self.project / "hostel.toml").write_text('name = "shop"\napp = "app:app"\n')

    def store(self, site: str = "shop") -> Path:
        return self.folder / "etc" / "sites" / site / "env.json"

    def kept(self, site: str = "shop") -> dict[str, str]:
        values: dict[str, str] = json.loads(self.store(site).read_text())["values"]
        return values

    def argv(self, *argv: str) -> list[str]:
        return [sys.executable, "-c", HOSTEL, str(self.folder), "env", *argv]

    def env(
        self, *argv: str, stdin: str | bytes = b"", cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.argv(*argv),
            input=stdin if isinstance(stdin, bytes) else stdin.encode(),
            capture_output=True,
            check=False,
            cwd=cwd or self.project,
            env=around(),
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err
        return subprocess.CompletedProcess(argv, done.returncode, out, err)

    def keep(self, **values: str) -> None:
        text = "".join(f"{name}='{value}'\n" for name, value in values.items())
        done = self.env("import", "-", "--no-apply", stdin=text)
        assert done.returncode == 0, done.stderr


def around() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/", "LANG": "C.UTF-8", "TERM": "xterm"}


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


# -- set, from stdin ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc", "abc"),
        ("abc\n", "abc"),
        ("abc\n\n", "abc\n"),
        ("abc\r\n", "abc\r"),
        (" a\tb ", " a\tb "),
        ("", ""),
        ("\n", ""),
        ("-----BEGIN KEY-----\nabc\n", "-----BEGIN KEY-----\nabc"),
        ("Grüße \U0001f512", "Grüße \U0001f512"),
        ("\"'$(id)`\\n", "\"'$(id)`\\n"),
    ],
)
def test_a_value_from_stdin_is_kept_exactly_but_for_one_newline_at_its_end(
    server: Server, given: str, kept: str
) -> None:
    done = server.env("set", "KEY", "--no-apply", stdin=given)
    assert done.returncode == 0, done.stderr
    assert server.kept() == {"KEY": kept}
    assert done.stdout == ""
    assert f"+ KEY  {MASK}" in done.stderr


def test_what_is_kept_is_for_root_alone(server: Server) -> None:
    server.env("set", "KEY", "--no-apply", stdin=SECRET)
    assert stat.S_IMODE(server.store().stat().st_mode) == 0o600
    assert stat.S_IMODE(server.store().parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "given", [SECRET.encode() + b"\xff", SECRET.encode() + b"\0", SECRET.encode() * LONGEST]
)
def test_what_no_variable_can_hold_is_refused_without_showing_it(
    server: Server, given: bytes
) -> None:
    done = server.env("set", "KEY", "--no-apply", stdin=given)
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert SECRET not in done.stderr
    assert not server.store().exists()


def test_one_value_is_not_for_several_names(server: Server) -> None:
    done = server.env("set", "ONE", "TWO", "--no-apply", stdin=SECRET)
    assert done.returncode == 2
    assert "hostel env import -" in done.stderr
    assert not server.store().exists()


@pytest.mark.parametrize(
    "argv", [[f"KEY={SECRET}"], ["KEY", f"OTHER={SECRET}"], ["KEY", f"{SECRET}=="], ["KEY", SECRET]]
)
def test_a_value_on_the_command_line_is_refused_and_not_repeated(
    server: Server, argv: list[str]
) -> None:
    for verb in ("set", "unset"):
        done = server.env(verb, *argv, "--no-apply")
        assert done.returncode == 2
        assert SECRET not in done.stderr
        assert f"hostel env {verb} " in done.stderr
        assert not server.store().exists()


def test_the_refusal_says_why_and_which_command_is_right(server: Server) -> None:
    done = server.env("set", f"KEY={SECRET}")
    assert "history" in done.stderr
    assert "sudo hostel env set KEY and" in done.stderr


# -- set, from a prompt ---------------------------------------------------------------------------


class Terminal:
    """Somebody at a terminal: types when asked, and sees what is shown."""

    def __init__(self, server: Server, *argv: str) -> None:
        self.leader, follower = pty.openpty()
        self.seen = b""
        self.process = subprocess.Popen(
            server.argv(*argv),
            stdin=follower,
            stdout=follower,
            stderr=follower,
            cwd=server.project,
            env=around(),
            preexec_fn=lambda: os.login_tty(follower),
        )
        os.close(follower)

    def sees(self, text: str, count: int = 1) -> None:
        """Wait until it is shown for the `count`th time."""
        while self.seen.count(text.encode()) < count:
            assert self._more(), f"it ended, and showed only {self.seen!r}"

    def types(self, text: str) -> None:
        os.write(self.leader, text.encode())

    def ends(self) -> int:
        while self._more():
            pass
        os.close(self.leader)
        return self.process.wait(60)

    def _more(self) -> bool:
        ready, _, _ = select.select([self.leader], [], [], 60)
        assert ready, f"nothing more is shown than {self.seen!r}"
        try:
            data = os.read(self.leader, 4096)
        except OSError:  # Linux says so when the other side is closed.
            return False
        self.seen += data
        return bool(data)


def test_a_prompt_asks_twice_and_shows_nothing_of_what_is_typed(server: Server) -> None:
    person = Terminal(server, "set", "KEY", "--no-apply")
    person.sees("KEY (not shown): ")
    person.types(f"{SECRET}\n")
    person.sees("Once more: ")
    person.types(f"{SECRET}\n")
    assert person.ends() == 0
    assert SECRET.encode() not in person.seen
    assert server.kept() == {"KEY": SECRET}


def test_two_different_answers_are_asked_for_again(server: Server) -> None:
    person = Terminal(server, "set", "KEY", "--no-apply")
    for count, (first, second) in enumerate((("one", "other"), ("same", "same")), 1):
        person.sees("KEY (not shown): ", count)
        person.types(f"{first}\n")
        person.sees("Once more: ", count)
        person.types(f"{second}\n")
    assert person.ends() == 0
    assert b"do not match" in person.seen
    assert server.kept() == {"KEY": "same"}


def test_each_of_several_names_is_asked_for(server: Server) -> None:
    person = Terminal(server, "set", "ONE", "TWO", "--no-apply")
    for count, name in enumerate(("ONE", "TWO"), 1):
        person.sees(f"{name} (not shown): ")
        person.types(f"value of {name}\n")
        person.sees("Once more: ", count)
        person.types(f"value of {name}\n")
    assert person.ends() == 0
    assert server.kept() == {"ONE": "value of ONE", "TWO": "value of TWO"}


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_who_interrupts_the_prompt_has_changed_nothing(server: Server, key: str) -> None:
    server.keep(ONE="before")
    person = Terminal(server, "set", "ONE", "TWO", "--no-apply")
    person.sees("ONE (not shown): ")
    person.types(f"{SECRET}\n")
    person.sees("Once more: ")
    person.types(f"{SECRET}\n")
    person.sees("TWO (not shown): ")
    person.types(key)
    assert person.ends() == 130
    assert SECRET.encode() not in person.seen
    assert server.kept() == {"ONE": "before"}


def test_a_prompt_that_is_ended_from_outside_leaves_the_terminal_as_it_was(server: Server) -> None:
    import termios

    person = Terminal(server, "set", "KEY", "--no-apply")
    before = termios.tcgetattr(person.leader)[3] | termios.ECHO
    person.sees("KEY (not shown): ")
    assert not termios.tcgetattr(person.leader)[3] & termios.ECHO
    person.process.send_signal(signal.SIGTERM)
    person.sees("nothing is left half-done")
    assert termios.tcgetattr(person.leader)[3] == before
    assert person.ends() == 130
    assert not server.store().exists()


# -- unset ----------------------------------------------------------------------------------------


def test_what_is_unset_is_gone_and_the_rest_stays(server: Server) -> None:
    server.keep(A="1", B="2", C="3")
    done = server.env("unset", "A", "C", "--no-apply")
    assert done.returncode == 0
    assert server.kept() == {"B": "2"}


def test_a_name_that_is_not_kept_is_an_error_and_nothing_is_unset(server: Server) -> None:
    server.keep(SECRET_KEY=SECRET, B="2")
    done = server.env("unset", "B", "SECRET_KYE", "--no-apply")
    assert done.returncode == 1
    assert 'Did you mean "SECRET_KEY"?' in done.stderr
    assert server.kept() == {"SECRET_KEY": SECRET, "B": "2"}


# -- list -----------------------------------------------------------------------------------------


def test_the_list_says_where_each_comes_from_and_hides_secrets(server: Server) -> None:
    (server.project / "hostel.toml").write_text('name="shop"\n[env]\nA="env"\nB="env"\nC="env"\n')
    (server.project / ".env").write_text(f"B=dotenv\nTOKEN={SECRET}\n")
    server.keep(C="plain, but kept")
    done = server.env("list")
    assert done.returncode == 0
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["A", "[env]", "env"],
        ["B", ".env", "dotenv", "(over", "[env])"],
        ["C", "store", MASK, "(over", "[env])"],
        ["TOKEN", ".env", MASK],
    ]


def test_values_are_shown_to_those_who_ask_on_one_line_each(server: Server) -> None:
    server.env("set", "KEY", "--no-apply", stdin="one\ntwo\x1b[2J")
    done = server.env("list", "--show")
    assert done.stdout == "KEY  store  one\\ntwo\\x1b[2J\n"
    assert "root alone" in done.stderr
    assert str(server.store()) in done.stderr


def test_programs_get_null_for_what_is_hidden_and_the_value_when_asked(server: Server) -> None:
    server.env("set", "KEY", "--no-apply", stdin="one\ntwo")
    (server.project / ".env").write_text("B=dotenv\n")
    found = json.loads(server.env("list", "--json").stdout)
    assert found == {
        "version": 1,
        "site": "shop",
        "variables": [
            {"name": "B", "origin": ".env", "over": [], "secret": False, "value": "dotenv"},
            {"name": "KEY", "origin": "store", "over": [], "secret": True, "value": None},
        ],
    }
    shown = json.loads(server.env("list", "--json", "--show").stdout)
    assert shown["variables"][1]["value"] == "one\ntwo"


def test_an_open_store_is_an_error_that_shows_nothing(server: Server) -> None:
    server.keep(KEY=SECRET)
    server.store().chmod(0o644)
    for argv in (["list"], ["list", "--show"], ["diff"], ["set", "B", "--no-apply"]):
        done = server.env(*argv, stdin="x")
        assert done.returncode == 1
        assert f"chmod 600 {server.store()}" in done.stderr
        assert SECRET not in done.stdout + done.stderr


# -- import ---------------------------------------------------------------------------------------


def test_a_dotenv_file_is_kept_and_what_changes_is_shown_without_values(server: Server) -> None:
    server.keep(OLD=SECRET, SAME="same", CHANGED="before")
    file = server.project / "production.env"
    file.write_text(f"# ours\nexport NEW='{SECRET} #1'\nSAME=same\nCHANGED=\"a\\nb\"\nNOTHING\n")
    done = server.env("import", "production.env", "--no-apply")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[:2] == [f"~ CHANGED  {MASK}", f"+ NEW  {MASK}"]
    assert SECRET not in done.stderr
    assert server.kept() == {
        "CHANGED": "a\nb", "NEW": f"{SECRET} #1", "OLD": SECRET, "SAME": "same",
    }  # fmt: skip


def test_replacing_removes_what_is_not_in_the_file(server: Server) -> None:
    server.keep(OLD="1", SAME="2")
    done = server.env("import", "-", "--replace", "--no-apply", stdin="SAME=2\n")
    assert "- OLD" in done.stderr
    assert server.kept() == {"SAME": "2"}


@pytest.mark.parametrize("text", ["", "# nothing\n", f"{SECRET}", f"A='{SECRET}\n", f"={SECRET}"])
def test_a_file_that_holds_no_variables_changes_nothing(server: Server, text: str) -> None:
    server.keep(OLD="1")
    done = server.env("import", "-", "--replace", "--no-apply", stdin=text)
    assert done.returncode == 2
    assert SECRET not in done.stderr
    assert server.kept() == {"OLD": "1"}


@pytest.mark.parametrize("file", ["missing.env", ".", "a\tb"])
def test_a_file_that_cannot_be_read_is_named(server: Server, file: str) -> None:
    done = server.env("import", file, "--no-apply")
    assert done.returncode == 2
    assert f"reading {file}" in done.stderr


# -- diff, and going live -------------------------------------------------------------------------


def test_before_the_first_apply_all_that_is_there_is_still_to_come(server: Server) -> None:
    server.keep(KEY=SECRET)
    (server.project / ".env").write_text("DEBUG=0\n")
    done = server.env("diff")
    assert done.returncode == 3
    assert done.stdout == f"+ DEBUG  0  (.env)\n+ KEY  {MASK}  (store)\n"
    assert "not live on this server yet" in done.stderr
    found = json.loads(server.env("diff", "--json").stdout)
    assert found["changes"][1] == {
        "name": "KEY", "verb": "set", "origin": "store", "before": None, "after": MASK,
    }  # fmt: skip


def test_without_any_variable_there_is_no_difference(server: Server) -> None:
    assert server.env("diff").returncode == 0


def test_before_the_first_apply_a_value_is_kept_for_it(server: Server) -> None:
    done = server.env("set", "KEY", stdin=SECRET)
    assert done.returncode == 0
    assert "sudo hostel apply" in done.stderr
    assert server.kept() == {"KEY": SECRET}


def test_where_it_cannot_go_live_what_is_kept_is_as_before(server: Server) -> None:
    """It is remembered as a site of a server, which is not here."""
    server.keep(KEY="before")
    (server.folder / "var" / "sites" / "shop").mkdir(parents=True)
    for argv in (["set", "KEY"], ["set", "NEW"], ["unset", "KEY"]):
        done = server.env(*argv, stdin=SECRET)
        assert done.returncode in (1, 2)
        assert "error: " in done.stderr
        assert "as before" in done.stderr
        assert SECRET not in done.stderr
        assert server.kept() == {"KEY": "before"}


# -- which site, and who --------------------------------------------------------------------------


def test_the_site_is_that_of_the_folder_or_named(server: Server) -> None:
    server.env("set", "KEY", "--no-apply", stdin="1")
    server.env("set", "KEY", "--no-apply", "--site", "shop", stdin="2", cwd=server.folder)
    server.env("set", "KEY", "--no-apply", "--site", "./shop", stdin="3", cwd=server.folder)
    done = server.env("set", "KEY", "--no-apply", "--site", "blog", stdin="4")
    assert server.kept() == {"KEY": "3"}
    assert server.kept("blog") == {"KEY": "4"}
    assert "blog is new here; this server knows: shop" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_an_ordinary_user_is_told_the_command_and_not_asked(tmp_path: Path) -> None:
    """Nor may they see anything of what is kept."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="hostel-env-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        server = Server(Path(folder))
        server.keep(KEY=SECRET)

        def as_nobody(*argv: str) -> subprocess.CompletedProcess[str]:
            code = "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            words = server.argv(*argv)
            # What is imported after this point could lie where only root can read.
            loaded = "import hostel.cli.env, hostel.envstore, hostel.masking, hostel.machine\n"
            words[2] = f"{loaded}import hostel.surroundings, hostel.sitefile\n{code}{words[2]}"
            return subprocess.run(
                words, input=SECRET, capture_output=True, text=True, check=False,
                cwd=server.project, env=around(),
            )  # fmt: skip

        for argv in (["set", "KEY"], ["unset", "KEY"], ["import", "-"]):
            done = as_nobody(*argv)
            assert done.returncode == 1, done.stderr
            assert f"sudo hostel env {' '.join(argv)}" in done.stderr
            assert SECRET not in done.stdout + done.stderr
        for argv in (["list"], ["list", "--show"], ["list", "--json", "--show"], ["diff"]):
            done = as_nobody(*argv)
            assert done.returncode == 1, done.stderr
            assert "only root" in done.stderr
            assert "sudo" in done.stderr
            assert SECRET not in done.stdout + done.stderr
        assert server.kept() == {"KEY": SECRET}
