"""Victims that answer together: as victims of a grid and as sources, and what their units' keys depend on."""

import pytest
from grid_cases import DIGITS, TRANSFER, job_of, keys, plan

from raygrid.errors import UsageError

BOTH = {"ensemble": ["mnist-cnn", "mnist-cnn-adv"]}
ATTACK = {**DIGITS["attacks"][0], "eps": 0.1}


def grid(victims, attacks=(ATTACK,), **more):
    return {"digits": {**DIGITS, "victims": list(victims), "attacks": list(attacks), **more}}


def keys_with(folder, *members, **said):
    return keys(plan(job_of(folder, **grid([{"ensemble": list(members), "id": "ours", **said}]))))


def test_an_ensemble_is_one_victim_with_one_model(tmp_path):
    found = plan(job_of(tmp_path, **grid([BOTH, "mnist-cnn"])))
    assert {score.model.victim.id for score in found.scores} == {"mnist-cnn+mnist-cnn-adv", "mnist-cnn"}
    assert len(found.cells) == 2 and len({score.model.digest for score in found.scores}) == 2
    assert any("victim=mnist-cnn+mnist-cnn-adv " in cell_id for cell_id in found.cells)


def test_keys_change_when_any_member_does(tmp_path):
    code = tmp_path / "mine.py"
    code.write_text("from torch import nn\n\ndef make(): ...\n")
    words = {"use": "module", "target": f"{code}:make", "trust": True, "input": [1, 28, 28], "classes": 10}
    found = [
        keys_with(tmp_path, "mnist-cnn", words),
        keys_with(tmp_path, words, "mnist-cnn"),
        keys_with(tmp_path, "mnist-cnn-adv", words),
        keys_with(tmp_path, "mnist-cnn", {**words, "std": [0.5]}),
        keys_with(tmp_path, "mnist-cnn", words, "mnist-cnn-adv"),
        keys_with(tmp_path, "mnist-cnn", words, id="yours"),
    ]
    again = keys_with(tmp_path, "mnist-cnn", words)
    code.write_text("from torch import nn\n\ndef make(): return None\n")
    found.append(keys_with(tmp_path, "mnist-cnn", words))
    assert again == found[0]
    assert len(set().union(*found)) == len(found) * 2


def test_keys_of_members_alone_do_not_hang_on_the_ensemble_beside_them(tmp_path):
    alone = keys(plan(job_of(tmp_path, **grid(["mnist-cnn"]))))
    assert alone < keys(plan(job_of(tmp_path, **grid(["mnist-cnn", BOTH]))))
    assert alone == keys(plan(job_of(tmp_path, **grid([{"ensemble": ["mnist-cnn"]}]))))


def test_an_ensemble_is_crafted_on_once_for_all_victims(tmp_path):
    attack = {**TRANSFER, "source": BOTH}
    found = plan(job_of(tmp_path, **grid(["mnist-cnn", "mnist-cnn-adv"], [attack])))
    assert len(found.scores) == 4 and len(found.crafts) == 2
    assert {craft.model.victim.id for craft in found.crafts.values()} == {"mnist-cnn+mnist-cnn-adv"}
    assert all("access=transfer(mnist-cnn+mnist-cnn-adv)" in cell_id for cell_id in found.cells)
    # By its id, where the grid has it as a victim.
    named = plan(job_of(tmp_path, **grid([{**BOTH, "id": "ours"}, "mnist-cnn"], [{**TRANSFER, "source": "ours"}])))
    assert {craft.model.victim.id for craft in named.crafts.values()} == {"ours"}


def test_what_may_be_asked_of_it_is_what_may_be_asked_of_all_members(tmp_path):
    code = tmp_path / "box.py"
    code.write_text("def ask(x): ...\n")
    box = {"use": "callable", "target": f"{code}:ask", "trust": True, "input": [1, 28, 28], "classes": 10, "id": "box"}
    job = job_of(tmp_path, **grid([{"ensemble": ["mnist-cnn", box], "id": "ours"}]))
    with pytest.raises(
        UsageError, match='attack "pgd" needs gradient access and victim "ours" gives score at most; exclude the pair'
    ):
        plan(job)


def test_an_ensemble_that_does_not_fit_the_data_is_told(tmp_path):
    job = job_of(tmp_path, **grid([{"ensemble": ["efficientnet-lite0", "efficientnet-lite1"], "id": "photos"}]))
    with pytest.raises(UsageError) as told:
        plan(job)
    assert list(told.value.messages) == [
        'grids.digits: victim "photos" takes inputs 3xanyxany and digits has 1x28x28; give it data of its '
        "size, in a grid of its own or by the size of `data`",
        'grids.digits: victim "photos" has 1000 classes and digits has 10, so that a label would not mean the same to '
        "both; give it data with its classes, or mend `classes` of either",
    ]


def test_exclude_knows_it_by_its_id(tmp_path):
    found = plan(job_of(tmp_path, **grid([BOTH, "mnist-cnn"], exclude=[{"victim": "mnist-cnn+mnist-cnn-adv"}])))
    assert {score.model.victim.id for score in found.scores} == {"mnist-cnn"}
