"""What stands in for a private victim: ensembles of embedders, and dropout inside while crafting."""

import pytest
from grid_cases import DIGITS, TRANSFER, job_of, keys, plan

from raygrid.engine.rows import cell_row
from raygrid.errors import UsageError
from raygrid.units import ShardRef

FACES = {
    "task": "verification",
    "shape": (3, 160, 160),
    "gallery": ShardRef("c" * 32, 400),
    "fit": ShardRef("d" * 32, 200),
    "calibration": 20,
    "known": 4,
}
MIFGSM = {"use": "mi-fgsm", "norm": "linf", "eps": 8 / 255, "access": "transfer"}
BOTH = {"ensemble": ["mobileface", "dlib-resnet"]}


def faces(folder, victims, **attack):
    grid = {"data": "orl-faces", "victims": victims, "attacks": [{**MIFGSM, **attack}]}
    return plan(job_of(folder, faces=grid), **FACES)


def digits(folder, **attack):
    return plan(job_of(folder, digits={**DIGITS, "attacks": [{**TRANSFER, **attack}]}))


def test_dropout_stands_in_the_surrogate_and_nowhere_else(tmp_path):
    found = digits(tmp_path, surrogate_dropout=[0, 0.1])
    assert len(found.crafts) == 2 * 2 and len(found.scores) == 2 * 2 * 2
    inside = {craft.model.defense.params.model_dump_json() for craft in found.crafts.values()}
    assert len(inside) == 2 and any('"convolutions","kind":"dropout","sigma":0.1' in params for params in inside)
    assert {score.model.defense.component.name for score in found.scores} == {"none"}
    assert {craft.attack.looks for craft in found.crafts.values()} == {1}
    sources = {cell_row(cell)["source"] for cell in found.cells.values()}
    assert sources == {"mnist-cnn", "mnist-cnn(dropout=0.1)"}
    assert sum("access=transfer(mnist-cnn(dropout=0.1))" in cell for cell in found.cells) == 2


def test_every_share_has_keys_of_its_own_and_none_those_of_the_bare_surrogate(tmp_path):
    none, zero, some, more = (
        keys(digits(tmp_path, **words)) for words in ({}, *({"surrogate_dropout": p} for p in (0, 0.1, 0.2)))
    )
    assert none == zero
    assert len(none | some | more) == 3 * len(none)


def test_photos_are_enrolled_in_the_surrogate_as_it_is(tmp_path):
    plain, thinned = (faces(tmp_path, ["dlib-resnet"], source="mobileface", surrogate_dropout=p) for p in (0, 0.1))
    assert {fit.key for fit in plain.fits.values()} == {fit.key for fit in thinned.fits.values()}
    for craft in thinned.crafts.values():
        assert craft.model.defense.component.name == "noise"
        assert craft.enrolled.model.victim.id == "mobileface" and craft.enrolled.model.defense.is_none


def test_only_a_surrogate_can_have_dropout(tmp_path):
    with pytest.raises(UsageError, match='surrogate_dropout: is for access "transfer", not "gradient"'):
        job_of(tmp_path, digits={**DIGITS, "attacks": [{**DIGITS["attacks"][0], "surrogate_dropout": 0.1}]})


def test_embedders_side_by_side_are_victims_and_sources_of_faces(tmp_path):
    every = {**BOTH, "rule": "all"}
    found = faces(tmp_path, ["faceres", BOTH, every], source=[{"ensemble": ["mobileface", "faceres"]}, "faceres"])
    assert {score.model.victim.id for score in found.scores} == {
        "faceres",
        "mobileface+dlib-resnet",
        "mobileface&dlib-resnet",
    }
    assert len({score.model.digest for score in found.scores}) == 3
    assert {cell.attack.source.id for cell in found.cells.values()} == {"mobileface+faceres", "faceres"}
    assert len(found.fits) == 4


def test_the_rule_is_part_of_the_keys(tmp_path):
    named = [{**BOTH, "id": "ours", "rule": rule} for rule in ("mean", "all")]
    found = [keys(faces(tmp_path, [victim], source="faceres")) for victim in named]
    assert not found[0] & found[1]


def test_who_names_classes_and_who_embeds_make_no_ensemble(tmp_path):
    mixed = {"ensemble": ["mobileface", "mnist-cnn"], "id": "ours"}
    with pytest.raises(UsageError) as told:
        faces(tmp_path, [mixed], source="faceres")
    assert list(told.value.messages) == [
        'victim "ours": ensemble: its members do different things: mobileface verification, mnist-cnn classification'
    ]
