"""What `raygrid bench defenses` times and counts, never how long it takes."""

import pytest
import torch
from models import digits, victim

from raygrid import bench, bench_defenses
from raygrid.bench_defenses import (
    PARAMS,
    defended,
    defense_table,
    peak_bytes,
    some_sites,
    time_defense,
    time_votes,
    vote_table,
)
from raygrid.errors import UsageError
from raygrid.registry import of_kind

BATCH = 6
MEGABYTE = 1 << 20


def cells(table):
    return [list(column.cells) for column in table.columns]


def models(*texts):
    return list(defended(victim("mnist-cnn"), digits(BATCH)[0], texts))


@pytest.fixture
def rows():
    """How many rows the first and the last layer of the victim have seen."""
    seen = {"conv1": 0, "logits": 0}

    def count(name):
        return lambda module, inputs, output: seen.__setitem__(name, seen[name] + len(output))

    hooks = [getattr(victim("mnist-cnn").model, name).register_forward_hook(count(name)) for name in seen]
    yield seen
    for hook in hooks:
        hook.remove()


@pytest.fixture
def pieces(monkeypatch, rows):
    """How many rows each piece of work that was timed has run through the first and the last layer."""
    seen = []

    def watched(work, _):
        before = tuple(rows.values())
        work()
        seen.append(tuple(after - was for after, was in zip(rows.values(), before, strict=True)))
        return 1.0

    monkeypatch.setattr(bench_defenses, "seconds", watched)
    return seen


def test_every_registered_defense_has_its_lines():
    victims, labels, ms, ratio, megabytes, memory = cells(defense_table(["mnist-cnn"], None, [], 1, 1, "cpu"))
    registered = {component.name for component in of_kind("defense") if component.task == "classification"}
    assert {label.partition("(")[0] for label in labels} == registered
    assert len(labels) == sum(len(PARAMS.get(name, ({},))) for name in registered) and set(victims) == {"mnist-cnn"}
    assert all(float(value) > 0 for column in (ms, ratio, megabytes, memory) for value in column)
    assert memory[labels.index("none")] == "1.00"


def test_what_is_named_in_the_catalog_of_parameters_is_registered():
    assert PARAMS.keys() <= {component.name for component in of_kind("defense")}


def test_a_defense_may_be_given_with_parameters_as_in_a_job_file():
    (label, model), (default, _) = models("{use: noise, site: relu2, sigma: 0.5, unit: std, votes: 3}", "jpeg")
    assert label == "noise(sigma=0.5,site=relu2,unit=std,votes=3)" and default == "jpeg"
    h = victim("mnist-cnn").features(digits(BATCH)[0], "relu2").double()
    assert list(model.sigmas.values()) == [pytest.approx(0.5 * float(h.std()), rel=1e-5)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("jpg", 'unknown defense "jpg"; did you mean "jpeg"'),
        ("{use: jpeg, qality: 3}", 'unknown parameter "qality" of defense "jpeg"; did you mean "quality"'),
        ("{use: noise, site: relu9, sigma: 1}", 'has no layer "relu9"; did you mean'),
        ("{sigma: 1}", 'unknown defense ""'),
    ],
)
def test_a_mistake_gets_one_clear_message(text, why):
    with pytest.raises(UsageError) as told:
        models(text)
    assert why in told.value.messages[0]


def test_an_answer_is_timed_in_turns_with_a_pass_of_the_bare_victim(pieces):
    ((_, model),) = models("{use: noise, sigma: 0.5, votes: 4}")
    assert time_defense(model, victim("mnist-cnn"), digits(BATCH)[0], 2).ratio == 1.0
    assert pieces == [(4 * BATCH, 4 * BATCH), (BATCH, BATCH)] * 2


def test_the_alarm_is_a_part_of_the_answer(pieces):
    ((_, model),) = models("feature-squeezing")
    time_defense(model, victim("mnist-cnn"), digits(BATCH)[0], 1)
    # the answer; then the picture, the picture with fewer bits, and behind a median filter
    assert pieces[0] == (4 * BATCH, 4 * BATCH)


@pytest.mark.parametrize(("site", "votes"), [("relu1", 25), ("relu2", 50), ("relu3", 7), ("input", 90)])
def test_votes_and_floor_run_the_same_layers_on_as_many_values(site, votes, pieces):
    model = victim("mnist-cnn")
    stages = list(model.layers.stages)
    timing = time_votes(model, digits(BATCH)[0], site, votes, 2)
    expected = (BATCH * votes if site == "input" else BATCH, BATCH * votes)
    assert pieces == [expected] * 4 and timing.ratio == 1.0 and timing.passes >= 1
    assert model.layers.stages == stages and not model._forward_pre_hooks


def test_the_floor_draws_as_many_numbers_as_the_votes_take(monkeypatch):
    drawn, real = [], torch.randn

    def randn(*shape, **options):
        made = real(*shape, **options)
        drawn.append(made.numel())
        return made

    monkeypatch.setattr(bench_defenses.torch, "randn", randn)
    monkeypatch.setattr(bench_defenses, "seconds", lambda work, _: drawn.clear() or work() or 1.0)
    timing = time_votes(victim("mnist-cnn"), digits(BATCH)[0], "relu2", 50, 1)
    values = victim("mnist-cnn").features(digits(1)[0], "relu2").numel()
    assert len(drawn) == timing.passes > 1 and sum(drawn) == BATCH * 50 * values


def test_the_table_of_votes_has_a_line_for_every_site_and_number():
    names, sites, votes, passes, *times = cells(vote_table(["mnist-cnn"], None, [], [2, 30], 3, 1, "cpu"))
    assert list(dict.fromkeys(sites)) == some_sites(victim("mnist-cnn")) == ["input", "relu1", "relu2", "relu3"]
    assert votes == ["2", "30"] * 4 and set(names) == {"mnist-cnn"}
    assert all(float(value) > 0 for column in (passes, *times) for value in column)


def test_values_that_would_fill_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr(bench, "MOST_BYTES", 1e5)
    for site in ("input", "relu1"):
        with pytest.raises(UsageError, match="use fewer samples"):
            time_votes(victim("mnist-cnn"), digits(BATCH)[0], site, 20, 1)


def test_the_peak_is_what_is_held_at_once():
    x = torch.zeros(1)

    def work():
        for _ in range(3):
            torch.empty(MEGABYTE, dtype=torch.uint8)
        kept = [torch.empty(MEGABYTE, dtype=torch.uint8) for _ in range(2)]
        kept.clear()
        torch.empty(MEGABYTE // 2, dtype=torch.uint8)

    assert peak_bytes(work, x) == 2 * MEGABYTE


def test_what_was_held_before_is_no_part_of_the_peak():
    held = [torch.empty(4 * MEGABYTE, dtype=torch.uint8)]

    def work():
        held.clear()
        torch.empty(MEGABYTE, dtype=torch.uint8)

    assert peak_bytes(work, torch.zeros(1)) == MEGABYTE
