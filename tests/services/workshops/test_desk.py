"""What organisers do holds in the book, the passes and the files at once, also where it was cut short."""

import json
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from earthlab.errors import BadRequest
from earthlab.hub.accounts import account_name
from earthlab.hub.passes import Share
from earthlab.services.gateway.shared import owner_of
from earthlab.services.workshops.store import Store
from earthlab.services.workshops.text import Notebook
from earthlab.services.workshops.warmth import CubeUse, Warmth
from earthlab.settings import KubernetesSettings
from earthlab.testing.workshops import workshop_now
from tests.services.workshops.serving import make_desk


@pytest.fixture
def desk(tmp_path):
    found = make_desk(tmp_path / "lab")
    yield found
    found.store.close()


@pytest.fixture
def draft(desk):
    return desk.make(workshop_now())


def test_passes_lead_in_from_the_moment_that_the_seats_are_open(desk, draft):
    passes = desk.open("neige")
    assert [p.seat for p in passes] == [1, 2, 3]
    assert desk.passes.claim(passes[0].code).user == "atelier-neige-001"
    stay = desk.passes.stay("atelier-neige-001")
    assert (stay.title, stay.kept) == ("Neige des Pyrénées", draft.forgotten)
    with pytest.raises(BadRequest, match="before"):
        desk.open("neige")


def test_an_opening_that_was_cut_short_is_done_anew(desk, draft):
    early = desk.passes.open_seats("neige", 3, draft.workshop.opens.timestamp(), draft.closes)
    passes = desk.open("neige")
    assert desk.passes.claim(early[0].code).refusal
    assert desk.passes.claim(passes[0].code).seat == 1


def test_of_two_who_open_at_once_one_has_the_passes(desk, draft):
    done, refused = [], []

    def work():
        apart = desk.apart()
        try:
            done.append(apart.open("neige"))
        except BadRequest as exc:
            refused.append(exc)
        finally:
            apart.store.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(done), len(refused)) == (1, 3)
    assert [desk.passes.claim(p.code).seat for p in done[0]] == [1, 2, 3]


def test_a_notebook_that_is_not_there_leaves_a_draft(desk):
    notebooks = (Notebook("theia/neige.ipynb"), Notebook("theia/gibtsnicht.ipynb", part=2))
    desk.make(workshop_now(notebooks=notebooks))
    with pytest.raises(BadRequest, match="gibtsnicht"):
        desk.open("neige")
    assert desk.store.find("neige").stage == "draft"
    assert desk.passes.seats("neige") == []


def test_what_is_over_is_not_opened(desk):
    workshop = workshop_now()
    year = timedelta(days=365)
    desk.make(replace(workshop, opens=workshop.opens - year, closes=workshop.closes - year))
    with pytest.raises(BadRequest, match="ended"):
        desk.open("neige")


def test_a_seat_gets_no_more_than_the_operator_allows(desk):
    with pytest.raises(BadRequest, match=r"hub\.server_memory"):
        desk.make(workshop_now(memory=64 * 2**30))


def test_a_shared_cluster_gets_no_more_workers_than_the_machine_takes(desk):
    with pytest.raises(BadRequest, match=r"compute\.total_workers"):
        desk.make(workshop_now(workers=desk.most_workers + 1))
    assert desk.make(workshop_now(workers=desk.most_workers)).workshop.workers == desk.most_workers


def test_what_each_seat_gets_is_told_with_the_seats(desk):
    desk.make(workshop_now(memory=2**30, cores=2.0))
    desk.open("neige")
    assert desk.passes.share("atelier-neige-001") == Share(2**30, 2.0)


@pytest.fixture
def far(tmp_path):
    """The desk of a cluster, with the hub's book at hand."""
    found = make_desk(tmp_path / "lab")
    yield replace(found, settings=replace(found.settings, kubernetes=KubernetesSettings(enabled=True)))
    found.store.close()


def test_on_a_cluster_a_seat_gets_no_more_than_the_profile_of_everybody(far):
    with pytest.raises(BadRequest, match=r"found 8 GiB, but users may take 4 GiB .* memory of the profile atelier"):
        far.make(workshop_now(memory=8 * 2**30))
    assert far.make(workshop_now(memory=4 * 2**30)).slug == "neige"


def test_what_a_cluster_cannot_do_is_told_when_it_is_asked_for(far):
    with pytest.raises(BadRequest, match="no shared clusters"):
        far.make(workshop_now(workers=1))
    far.make(workshop_now())
    for kind in ("warm", "rehearse"):
        with pytest.raises(BadRequest, match="labs on one machine"):
            far.ask_run("neige", kind, 1)


def test_on_a_cluster_homes_are_for_the_hub_to_remove(far):
    far.make(workshop_now())
    far.open("neige")
    home = far.layout.homes / account_name("atelier-neige-001", far.layout.lab_id)
    home.mkdir()
    far.forget(far.store.hasten("neige"))
    assert home.is_dir()
    assert far.passes.seats("neige") == []
    assert not far.material("neige").exists()


def test_new_passes_are_for_seats_that_nobody_has(desk, draft):
    passes = desk.open("neige")
    desk.passes.claim(passes[1].code)
    desk.passes.revoke("neige", 3)
    assert [p.seat for p in desk.new_passes("neige")] == [1]
    assert desk.passes.claim(passes[0].code).refusal == "replaced"


def test_the_end_moves_passes_and_day_of_deletion_together(desk, draft):
    desk.open("neige")
    later = draft.closes + 3600
    entry = desk.extend("neige", later)
    assert entry.forgotten == draft.forgotten + 3600
    for wrong in (time.time() - 1, time.time() + 40 * 86400):
        with pytest.raises(BadRequest, match="closes"):
            desk.extend("neige", wrong)


def test_after_the_end_no_code_lets_anybody_in(desk, draft):
    passes = desk.open("neige")
    desk.end("neige")
    assert desk.passes.claim(passes[0].code).refusal == "expired"
    with pytest.raises(BadRequest, match="closed"):
        desk.end("neige")


def test_what_ends_before_it_begins_never_begins(desk):
    workshop = workshop_now()
    year = timedelta(days=365)
    desk.make(replace(workshop, opens=workshop.opens + year, closes=workshop.closes + year))
    passes = desk.open("neige")
    desk.end("neige")
    assert desk.passes.claim(passes[0].code).refusal == "unknown"


def test_what_is_forgotten_is_gone_from_every_place(desk, draft):
    desk.open("neige")
    home = desk.layout.homes / account_name("atelier-neige-001", desk.layout.lab_id)
    home.mkdir()
    clusters = desk.layout.homes / account_name(owner_of("neige"), desk.layout.lab_id)
    clusters.mkdir()
    assert desk.material("neige").is_dir()
    desk.forget(desk.store.hasten("neige"))
    assert not desk.material("neige").exists()
    assert not home.exists()
    assert not clusters.exists()
    assert desk.passes.seats("neige") == []
    assert desk.store.find("neige").stage == "forgotten"


def test_the_lab_tries_one_thing_at_a_time(desk, draft):
    run = desk.ask_run("neige", "warm")
    with pytest.raises(BadRequest, match=r"en cours \(neige\)"):
        desk.ask_run("neige", "rehearse", 10)
    desk.store.tell_run(run.number, "1 / 2")
    assert desk.store.run_under_way().progress == "1 / 2"
    desk.store.stop_run("neige", "warm")
    assert desk.store.run(run.number).state == "stopping"
    desk.store.end_run(run.number, "failed", {"words": "x"})
    assert desk.store.run_under_way() is None
    assert desk.store.run(run.number).over


def test_no_rehearsal_takes_place_in_the_hours_of_a_workshop(desk, draft):
    desk.open("neige")
    with pytest.raises(BadRequest, match="dérangerait l’atelier neige"):
        desk.ask_run("neige", "rehearse", 10)
    # Not so long before one that it would last until then, either.
    opens = desk.store.find("neige").workshop.opens.timestamp()
    early = Store(desk.store.path, lambda: opens - 1200)
    before = replace(desk, store=early)
    with pytest.raises(BadRequest, match="dérangerait"):
        before.ask_run("neige", "rehearse", 30)
    assert before.ask_run("neige", "rehearse", 1).kind == "rehearse"
    early.close()
    desk.end("neige")
    with pytest.raises(BadRequest, match="terminé"):
        desk.ask_run("neige", "warm")


def test_seats_are_told_what_the_last_warm_up_has_kept(desk, draft):
    run = desk.ask_run("neige", "warm")
    warmth = Warmth(cubes=(CubeUse("0a", state="built"), CubeUse("1b", state="large"), CubeUse("2c", state="found")))
    desk.store.end_run(run.number, "done", warmth.to_json())
    desk.open("neige")
    assert json.loads((desk.material("neige") / "atelier.json").read_text())["warmed"] == ["0a", "2c"]
