"""Signals that are held back, and those that are not."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from hostel.interrupts import ENDING, are_held, held_back
from hostel.machine import Machine


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_does_not_end_the_block_and_is_known_after_it(number: signal.Signals) -> None:
    former = signal.getsignal(number)
    ran = False
    with held_back() as held:
        assert are_held()
        os.kill(os.getpid(), number)
        ran = True
    assert ran
    assert held.came
    assert not are_held()
    assert signal.getsignal(number) is former


def test_no_signal_is_none_that_came() -> None:
    with held_back() as held:
        pass
    assert not held.came


def test_another_thread_need_not_hold_what_never_comes_to_it() -> None:
    done = []

    def work() -> None:
        with held_back() as held:
            done.append(held.came)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [False]


def test_while_they_are_held_a_command_is_out_of_the_reach_of_the_terminal() -> None:
    group = ["python3", "-c", "import os; print(os.getpgrp())"]
    assert int(Machine().run(group).out) == os.getpgrp()
    with held_back():
        assert int(Machine().run(group).out) != os.getpgrp()
