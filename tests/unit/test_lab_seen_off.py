"""Who is waited for until gone: all below the given ones, whichever of them was killed first."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from deploy.lab.hosts.namespaces import children_of, seen_off

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="process descriptors are Linux")


def test_it_is_over_when_the_last_is_gone() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 100 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        with seen_off(parent.pid) as gone:
            assert not gone(0.1)
            parent.kill()
            parent.wait()
            assert not gone(0.1), "its child lives on"
            os.kill(child, signal.SIGKILL)
            assert gone(10)


def test_what_another_thread_started_is_a_child_too() -> None:
    started = list[subprocess.Popen[bytes]]()
    ready, end = threading.Event(), threading.Event()

    def work() -> None:
        started.append(subprocess.Popen(["sleep", "100"]))
        ready.set()
        end.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(10)
        assert started[0].pid in children_of(os.getpid())
    finally:
        end.set()
        started[0].kill()
        started[0].wait()
        thread.join()
