"""Threads that want addresses signed at the same time share a request, and not each other's refusals."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from earthlab.catalog.signing import Signed
from earthlab.catalog.signing.gathering import Gatherer
from earthlab.errors import CatalogueUnavailable, NotAllowed
from tests.patience import PATIENCE


class Service:
    def __init__(self, bad=(), error=None):
        self.bad, self.error, self.sizes = set(bad), error, []

    def __call__(self, hrefs):
        self.sizes.append(len(hrefs))
        time.sleep(0.01)
        if self.error:
            raise self.error
        if self.bad & set(hrefs):
            raise NotAllowed("one of them is not yours")
        return {href: Signed(f"{href}?sig=1") for href in hrefs}


def ask_together(gatherer, hrefs):
    together = threading.Barrier(len(hrefs))

    def ask(href):
        together.wait()
        try:
            return gatherer.sign(href).href
        except NotAllowed:
            return "refused"

    with ThreadPoolExecutor(len(hrefs)) as pool:
        return list(pool.map(ask, hrefs))


def test_a_hundred_threads_take_few_requests_of_64_at_most():
    service, hrefs = Service(), [f"https://a.test/{n}" for n in range(100)]
    assert ask_together(Gatherer(service, 64), hrefs) == [f"{href}?sig=1" for href in hrefs]
    assert sum(service.sizes) == 100
    assert max(service.sizes) <= 64
    assert len(service.sizes) < 25


def test_a_refused_address_does_not_take_the_others_with_it():
    hrefs = [f"https://a.test/{n}" for n in range(20)]
    service = Service(bad=hrefs[3:5])
    answers = ask_together(Gatherer(service, 64), hrefs)
    assert [n for n, answer in enumerate(answers) if answer == "refused"] == [3, 4]


@pytest.mark.parametrize("error", [CatalogueUnavailable("down"), ValueError("odd")])
def test_a_service_that_is_down_is_down_for_all(error):
    gatherer = Gatherer(Service(error=error), 64)
    with pytest.raises(type(error), match=str(error)):
        gatherer.sign("https://a.test/1")
    with pytest.raises(type(error)):
        gatherer.sign("https://a.test/1")


def test_a_fork_does_not_wait_for_threads_of_its_parent():
    gatherer = Gatherer(Service(), 64)
    with gatherer._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if gatherer.sign("https://a.test/1").href.endswith("sig=1") else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("where", ["while it waits", "while it asks"])
def test_whoever_waits_is_not_left_hanging_when_the_first_is_interrupted(monkeypatch, where):
    gatherer, real, came = Gatherer(Service(error=KeyboardInterrupt()), 64), time.sleep, threading.Event()

    def sleep(seconds):
        came.set()
        real(0.2)
        if where == "while it waits":
            raise KeyboardInterrupt

    monkeypatch.setattr("earthlab.catalog.signing.gathering.time.sleep", sleep)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(gatherer.sign, "https://a.test/1")
        came.wait()
        second = pool.submit(gatherer.sign, "https://a.test/2")
        with pytest.raises(KeyboardInterrupt):
            first.result(PATIENCE)
        with pytest.raises(CatalogueUnavailable, match="interrupted"):
            second.result(PATIENCE)
