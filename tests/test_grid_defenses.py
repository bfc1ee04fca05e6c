"""Attackers who know of a defense, and those who don't: what is crafted on what, how often each looks, and how it is judged."""

import pytest
from grid_cases import DIGITS, job_of, keys, plan

from raygrid.errors import UsageError
from raygrid.units import ShardRef

NOISE = {"use": "noise", "site": "relu2", "sigma": 0.5}
PGD = {"use": "pgd", "norm": "linf", "eps": [0.1, 0.2], "steps": 5}


def grid(attacks=(PGD,), defenses=("none", NOISE), **more):
    return {
        "digits": {**DIGITS, "victims": ["mnist-cnn"], "attacks": list(attacks), "defenses": list(defenses), **more}
    }


def cells(found):
    return {cell.id: cell for cell in found.cells.values()}


def by(found, defense):
    return [score for score in found.scores if score.model.defense.component.name == defense]


def test_an_attacker_knows_of_the_defense_unless_the_job_says_otherwise(tmp_path):
    found = plan(job_of(tmp_path, **grid()))
    assert {score.cell.attack.awareness for score in by(found, "noise")} == {"defense"}
    assert {score.cell.attack.awareness for score in by(found, "none")} == {"none"}
    assert all(score.craft.model == score.model for score in found.scores)


def test_one_who_does_not_know_crafts_on_the_bare_victim_to_the_end_at_every_eps(tmp_path):
    found = plan(job_of(tmp_path, **grid([{**PGD, "awareness": "none"}])))
    unaware = by(found, "noise")
    assert {score.craft.model.defense.component.name for score in unaware} == {"none"}
    assert all(score.craft.attack.to_the_end and score.craft.parent is None for score in unaware)
    # The bare victim is judged by the same examples, so that the two can be compared.
    assert {score.craft.key for score in unaware} == {score.craft.key for score in by(found, "none")}


def test_what_stops_at_the_first_success_is_another_example_than_what_goes_on_to_the_end(tmp_path):
    usual = plan(job_of(tmp_path, **grid(defenses=["none"])))
    unaware = plan(job_of(tmp_path, **grid([{**PGD, "awareness": "none"}], defenses=["none"])))
    assert not any(craft.attack.to_the_end for craft in usual.crafts.values())
    assert any(craft.parent for craft in usual.crafts.values())
    assert not usual.crafts.keys() & unaware.crafts.keys()


def test_examples_of_one_who_does_not_know_are_crafted_once_for_all_defenses(tmp_path):
    defenses = [NOISE, {**NOISE, "sigma": 1.0}, {**NOISE, "site": "input"}]
    found = plan(job_of(tmp_path, **grid([{**PGD, "awareness": "none"}], defenses)))
    assert len(found.scores) == 3 * 2 * 2 and len(found.crafts) == 2 * 2


def test_looks_at_a_random_defense_average_over_20_draws_and_others_over_one(tmp_path):
    attacks = [PGD, {**PGD, "awareness": "none"}]
    found = plan(job_of(tmp_path, **grid(attacks, ["none", NOISE, {**NOISE, "sigma": 0}])))
    looks = {
        (score.model.defense.params.model_dump().get("sigma"), score.cell.attack.awareness): score.craft.attack.looks
        for score in found.scores
    }
    assert looks == {(None, "none"): 1, (0.5, "defense"): 20, (0.5, "none"): 1, (0.0, "defense"): 1, (0.0, "none"): 1}
    (said,) = {s.craft.attack.looks for s in by(plan(job_of(tmp_path, **grid([{**PGD, "eot": 3}]))), "noise")}
    assert said == 3


def test_a_random_defense_is_judged_by_20_draws_and_the_bare_victim_by_one(tmp_path):
    found = plan(job_of(tmp_path, **grid()))
    assert {(score.cell.judging.draws, score.cell.judging.broken_at) for score in by(found, "noise")} == {(20, 11)}
    assert {(score.cell.judging.draws, score.cell.judging.broken_at) for score in by(found, "none")} == {(1, 1)}


def test_both_kinds_of_attackers_have_cells_of_their_own_and_the_bare_victim_one(tmp_path):
    found = plan(job_of(tmp_path, **grid([{**PGD, "awareness": ["none", "defense"]}])))
    assert len(by(found, "noise")) == 2 * 2 * 2 and len(by(found, "none")) == 2 * 2
    named = [cell_id for cell_id in cells(found) if "defense=noise" in cell_id]
    assert all("awareness=" in cell_id for cell_id in named)
    assert not any("awareness=" in cell_id for cell_id in cells(found) if "defense=none" in cell_id)


def test_what_asks_nothing_of_a_victim_cannot_know_of_its_defense(tmp_path):
    found = plan(job_of(tmp_path, **grid([{"use": "corruption", "kind": "contrast", "severity": 3}])))
    assert {score.cell.attack.awareness for score in found.scores} == {"none"}
    assert len({score.craft.model.digest for score in found.scores}) == 1


def test_keys_of_a_bare_victim_do_not_hang_on_the_defenses_beside_it(tmp_path):
    alone = plan(job_of(tmp_path, **grid(defenses=["none"])))
    beside = plan(job_of(tmp_path, **grid()))
    assert keys(alone) == {score.key for score in by(beside, "none")}


REFUSED = [
    ({"use": "fmn", "eps": 0.1}, "it takes the closest example that one look calls a success"),
    ({"use": "autoattack", "eps": 0.1, "awareness": "none"}, "its attacks go on with what the former left"),
]


@pytest.mark.parametrize(("attack", "why"), REFUSED)
def test_what_makes_no_sense_behind_a_defense_is_told_with_the_fix(tmp_path, attack, why):
    with pytest.raises(UsageError) as told:
        plan(job_of(tmp_path, **grid([attack])))
    (message,) = told.value.messages
    assert 'behind defense "noise"' in message and why in message


def test_a_minimal_norm_attack_that_does_not_know_of_the_defense_is_fine(tmp_path):
    assert by(plan(job_of(tmp_path, **grid([{"use": "fmn", "eps": 0.1, "awareness": "none"}]))), "noise")


# Fits

UNIVERSAL = {"use": "universal", "norm": "linf", "eps": [0.1, 0.2]}
APART = {"fit": ShardRef("f" * 32, 40), "splits": {"fit": 40}}


def fitted(folder, attacks, fit=APART["fit"], **more):
    return plan(job_of(folder, **grid(attacks, splits=APART["splits"], **more)), fit=fit)


def test_each_eps_and_victim_has_its_own_fit_and_all_shards_share_it(tmp_path):
    found = fitted(tmp_path, [UNIVERSAL], defenses=["none"])
    assert len(found.fits) == 2 and len(found.crafts) == 4
    assert not any(craft.parent for craft in found.crafts.values())  # what is one for all is another at every eps


def test_a_key_hangs_on_the_samples_that_were_fitted_on(tmp_path):
    one = fitted(tmp_path, [UNIVERSAL, PGD], defenses=["none"])
    other = fitted(tmp_path, [UNIVERSAL, PGD], fit=ShardRef("e" * 32, 40), defenses=["none"])
    changed = {score.cell.attack.component.name for score in one.scores if score.key not in keys(other)}
    assert changed == {"universal"}


def test_a_defense_is_fitted_on_the_bare_victim_once_whatever_the_attack_and_seed(tmp_path):
    scaled = {**NOISE, "unit": "std"}
    job = job_of(tmp_path, seed=[0, 1], **grid([PGD], [scaled], splits=APART["splits"]))
    found = plan(job, fit=APART["fit"])
    (fit,) = found.fits.values()
    assert fit.model.defense.is_none and fit.what.component.name == "noise"
    assert {score.model.fit for score in found.scores} == {fit}
