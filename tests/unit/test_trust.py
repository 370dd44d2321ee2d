"""What has to be done for the local CA to be trusted, decided from facts alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hostel.trust import STORES, Database, SystemFacts, steps, undo

DEBIAN, FEDORA, *_ = STORES
CERT = Path("/home/ann/.local/share/hostel/ca/ca.crt")
NICK = "Hostel local CA (ann@laptop) 0123456789abcdef"
OLD = "Hostel local CA (ann@laptop) fedcba9876543210"
NSS = Path("/home/ann/.pki/nssdb")

debian = SystemFacts(
    root=False, certificate=CERT, nickname=NICK, mark="0123456789abcdef", store=DEBIAN
)
ANCHOR = DEBIAN.anchors / "hostel-local-ca-0123456789abcdef.crt"
STALE = DEBIAN.anchors / "hostel-local-ca-fedcba9876543210.crt"


def commands(facts: SystemFacts) -> list[tuple[str, ...]]:
    return [command for step in steps(facts) for command in step.commands]


def undoing(facts: SystemFacts) -> list[tuple[str, ...]]:
    return [command for step in undo(facts) for command in step.commands]


def test_debian_takes_a_copy_and_an_update_as_root() -> None:
    (step,) = steps(debian)
    assert step.root
    assert step.commands == (
        ("install", "-m", "0644", str(CERT), str(ANCHOR)),
        ("update-ca-certificates",),
    )


def test_fedora_has_its_own_place_and_tool() -> None:
    copy, update = commands(replace(debian, store=FEDORA))
    assert copy[-1] == "/etc/pki/ca-trust/source/anchors/hostel-local-ca-0123456789abcdef.pem"
    assert update == ("update-ca-trust",)


def test_a_trusted_authority_needs_nothing() -> None:
    browser = Database(NSS, nicknames=(NICK,))
    facts = replace(debian, trusted=True, anchors=(ANCHOR,), databases=(browser,), certutil=True)
    assert steps(facts) == ()


def test_an_earlier_authority_is_taken_out_when_a_new_one_comes() -> None:
    assert ("rm", "-f", str(STALE)) in commands(replace(debian, anchors=(STALE,)))
    browser = Database(NSS, nicknames=(OLD,))
    delete, add = commands(replace(debian, trusted=True, databases=(browser,), certutil=True))
    assert delete == ("certutil", "-D", "-d", f"sql:{NSS}", "-n", OLD)
    assert add == (
        "certutil", "-A", "-d", f"sql:{NSS}", "-t", "C,,", "-n", NICK, "-i", str(CERT),
    )  # fmt: skip


def test_browsers_need_no_root() -> None:
    facts = replace(debian, trusted=True, databases=(Database(NSS),), certutil=True)
    assert not any(step.root for step in steps(facts))


def test_a_browser_that_never_ran_gets_its_database_first() -> None:
    facts = replace(debian, trusted=True, databases=(Database(NSS, exists=False),), certutil=True)
    assert [command[:2] for command in commands(facts)] == [
        ("mkdir", "-p"),
        ("certutil", "-N"),
        ("certutil", "-A"),
    ]


def test_without_certutil_its_package_is_named() -> None:
    (step,) = steps(replace(debian, trusted=True, databases=(Database(NSS),)))
    assert not step.commands
    assert "libnss3-tools" in step.hint


def test_without_browsers_certutil_is_no_matter() -> None:
    assert steps(replace(debian, trusted=True)) == ()


def test_a_system_without_a_known_store_is_told_so() -> None:
    (step,) = steps(replace(debian, store=None))
    assert "ca-certificates" in step.hint


def test_macos_uses_the_keychain() -> None:
    login = Path("/Users/ann/Library/Keychains/login.keychain-db")
    facts = replace(debian, store=None, keychain=login)
    assert commands(facts) == [
        ("security", "add-trusted-cert", "-r", "trustRoot", "-k", str(login), str(CERT))
    ]
    assert undoing(replace(facts, trusted=True)) == [("security", "remove-trusted-cert", str(CERT))]


def test_undo_takes_out_this_authority_and_earlier_ones() -> None:
    browser = Database(NSS, nicknames=(NICK, OLD))
    facts = replace(
        debian, trusted=True, anchors=(ANCHOR, STALE), databases=(browser,), certutil=True
    )
    remove, clean, *deletes = undoing(facts)
    assert remove == ("rm", "-f", str(ANCHOR), str(STALE))
    assert clean == ("update-ca-certificates", "--fresh")
    assert [command[-1] for command in deletes] == [NICK, OLD]


def test_undo_works_without_the_authority() -> None:
    facts = replace(debian, certificate=None, mark="", anchors=(STALE,))
    assert ("rm", "-f", str(STALE)) in undoing(facts)
    assert steps(facts) == ()


def test_undo_of_nothing_is_nothing() -> None:
    assert undo(debian) == ()
