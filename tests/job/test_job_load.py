import json
import math
import subprocess
import sys

import pytest
from job_text import grid

from raygrid.component import Component, Params
from raygrid.job import check_eps, load_job
from raygrid.spec import Budget

EXAMPLE = """\
version: 1
name: quickstart
seed: 0
results: results/quickstart
grids:
  imagenet:
    data: {use: imagenet-samples, limit: 20}
    victims: [efficientnet-lite0, efficientnet-lite1]
    defenses: [none]
    attacks:
      - {use: pgd, norm: linf, eps: [1/255, 2/255, 8/255], steps: 20}
      - {use: apgd-ce, norm: l2, eps: [1, 3], steps: 20}
"""


def test_the_example_of_the_readme_becomes_what_it_says(load, components):
    job = load(EXAMPLE)
    assert (job.name, job.seeds, job.results, job.file) == ("quickstart", (0,), "results/quickstart", "job.yaml")
    (g,) = job.grids
    assert g.name == "imagenet"
    assert [(d.component.name, d.limit, d.shard, d.params.size) for d in g.data] == [
        ("imagenet-samples", 20, None, 224)
    ]
    assert [v.id for v in g.victims] == ["efficientnet-lite0", "efficientnet-lite1"]
    assert [d.component.name for d in g.defenses] == ["none"]
    assert [(a.component.name, a.norm, a.eps, a.params.steps) for a in g.attacks] == [
        ("pgd", "linf", 1 / 255, 20),
        ("pgd", "linf", 2 / 255, 20),
        ("pgd", "linf", 8 / 255, 20),
        ("apgd-ce", "l2", 1.0, 20),
        ("apgd-ce", "l2", 3.0, 20),
    ]
    first = g.attacks[0]
    assert (first.goal, first.target, first.access, first.source, first.budget) == (
        "untargeted",
        None,
        "gradient",
        None,
        Budget(),
    )
    assert first.component is components["attack", "pgd"]


def test_what_is_left_out_has_its_default(load):
    job = load(grid())
    assert (job.name, job.seeds, job.results) == ("job", (0,), "results/job")
    (attack,) = job.grids[0].attacks
    assert (attack.norm, attack.params.steps) == ("linf", 40)
    assert job.grids[0].data[0].limit is None
    assert [d.component.name for d in job.grids[0].defenses] == ["none"]


def test_the_results_option_replaces_the_file(load):
    job = load(EXAMPLE, results="/tmp/elsewhere")
    assert job.results == job.resolved["results"] == "/tmp/elsewhere"


@pytest.mark.parametrize(
    ("victims", "ids"),
    [
        ("efficientnet-lite0", ["efficientnet-lite0"]),
        ("[torchvision:resnet18]", ["torchvision:resnet18"]),
        ("{use: torchvision:resnet18, weights: w.pth}", ["torchvision:resnet18"]),
        ("{use: torchvision, name: resnet18}", ["torchvision:resnet18"]),
        ("{use: torchvision, name: [a, b]}", ["torchvision:a", "torchvision:b"]),
        ("{use: torchvision, name: [a, b], id: net}", ["net-a", "net-b"]),
        ("{use: 'torchvision:a', trust: [true, false], id: x}", ["x-true", "x-false"]),
        (
            "{use: torchvision, weights: [v, w], name: [a, b]}",
            ["torchvision:a-v", "torchvision:b-v", "torchvision:a-w", "torchvision:b-w"],
        ),
        ("{use: torchvision:a, mean: [0.1, 1/2]}", ["torchvision:a"]),
    ],
)
def test_victims_are_named_after_their_use_and_their_axes(load, victims, ids):
    assert [v.id for v in load(grid(victims=victims)).grids[0].victims] == ids


def test_fractions_are_numbers_inside_lists_too(load):
    (victim,) = load(grid(victims="{use: torchvision:a, mean: [1/2, 1e-1], input: [3, 32, 32]}")).grids[0].victims
    assert victim.params.mean == (0.5, 0.1)
    assert victim.params.input == (3, 32, 32)


def test_whole_floats_are_integers_where_only_integers_are_expected(load):
    (attack,) = load(grid("{use: pgd, eps: 0, steps: 1e2, budget: {queries: 1e4}}")).grids[0].attacks
    assert (attack.params.steps, attack.budget) == (100, Budget(queries=10_000))


@pytest.mark.parametrize(
    ("attack", "spread"),
    [
        (
            "{use: pgd, steps: [1, 2], eps: [0.1, 0.2]}",
            [(1, 0.1, None), (1, 0.2, None), (2, 0.1, None), (2, 0.2, None)],
        ),
        (
            "{use: pgd, eps: [0.1, 0.2], steps: [1, 2]}",
            [(1, 0.1, None), (2, 0.1, None), (1, 0.2, None), (2, 0.2, None)],
        ),
        ("{use: pgd, eps: 1, budget: {queries: [5, 6]}}", [(40, 1, 5), (40, 1, 6)]),
        ("{use: pgd, eps: 1, budget: [{queries: 5}, {}]}", [(40, 1, 5), (40, 1, None)]),
    ],
)
def test_the_last_axis_is_the_fastest(load, attack, spread):
    attacks = load(grid(attack)).grids[0].attacks
    assert [(a.params.steps, a.eps, a.budget.queries) for a in attacks] == spread


def test_data_defenses_and_seed_have_axes(load):
    job = load(
        "seed: [3, 1]\n" + grid(data="{use: imagenet-samples, size: [112, 224]}"),
        "grids.g.defenses={use: noise, sigma: [0.1, 0.2]}",
    )
    assert job.seeds == (3, 1)
    assert [d.params.size for d in job.grids[0].data] == [112, 224]
    assert [d.params.sigma for d in job.grids[0].defenses] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("source", "ids"),
    [
        ("mine", ["mine"]),
        ("[mine, efficientnet-lite1]", ["mine", "efficientnet-lite1"]),
        ("{use: torchvision, name: [a, b]}", ["torchvision:a", "torchvision:b"]),
        ("torchvision:a", ["torchvision:a"]),
        ("{ensemble: [torchvision:a, efficientnet-lite1]}", ["torchvision:a+efficientnet-lite1"]),
        ("[{ensemble: [torchvision:a], id: e}, mine, e]", ["e", "mine", "e"]),
    ],
)
def test_a_source_is_a_victim_of_the_grid_or_one_of_its_own(load, source, ids):
    attack = f"{{use: pgd, eps: 0.1, access: transfer, source: {source}}}"
    g = load(grid(attack, victims="{use: efficientnet-lite0, id: mine}")).grids[0]
    assert [a.source.id for a in g.attacks] == ids
    if ids[0] == "mine":
        assert g.attacks[0].source is g.victims[0]


@pytest.mark.parametrize(
    ("victim", "ids"),
    [
        ("{ensemble: [efficientnet-lite0, efficientnet-lite1]}", ["efficientnet-lite0+efficientnet-lite1"]),
        ("{ensemble: [efficientnet-lite0, {use: torchvision:a, id: mine}], id: ours}", ["ours"]),
        ("{ensemble: [efficientnet-lite0, torchvision:a], rule: all}", ["efficientnet-lite0&torchvision:a"]),
        ("{ensemble: [efficientnet-lite0, {use: torchvision:a, id: mine}]}", ["efficientnet-lite0+mine"]),
        (
            "{ensemble: [{use: torchvision, name: [a, b], trust: [true, false]}, {use: torchvision, name: [c]}], id: e}",
            ["e-a-true-c", "e-a-false-c", "e-b-true-c", "e-b-false-c"],
        ),
        (
            "{ensemble: [efficientnet-lite0, {use: torchvision, name: [a, b]}]}",
            ["efficientnet-lite0+torchvision:a", "efficientnet-lite0+torchvision:b"],
        ),
    ],
)
def test_an_ensemble_is_named_after_its_members_and_their_axes_are_crossed(load, victim, ids):
    (g,) = load(grid(victims=victim)).grids
    assert [v.id for v in g.victims] == ids
    assert len({v.key for v in g.victims}) == len(ids)
    assert all(len(v.params.members) == 2 for v in g.victims)


def test_an_ensemble_of_one_is_that_one_under_its_own_name(load):
    alone, named, bare = (
        load(
            grid(
                victims="[{ensemble: [{use: torchvision:a, mean: [1/2]}]}, {ensemble: [torchvision:a], id: e}, torchvision:b]"
            )
        )
        .grids[0]
        .victims
    )
    assert [v.id for v in (alone, named)] == ["torchvision:a", "e"]
    assert alone.component == named.component == bare.component
    assert (alone.params.mean, named.params.mean) == ((0.5,), (0.0,))


def test_members_of_an_ensemble_have_parameters_of_their_own(load):
    (victim,) = load(grid(victims="{ensemble: [{use: torchvision:a, mean: [1/2]}, torchvision:b]}")).grids[0].victims
    assert [(m.id, m.use, m.params.name, m.params.mean) for m in victim.params.members] == [
        ("torchvision:a", "torchvision", "a", (0.5,)),
        ("torchvision:b", "torchvision", "b", (0.0,)),
    ]


def test_an_override_reaches_into_an_ensemble(load):
    text = grid(victims="[{ensemble: [efficientnet-lite0, torchvision:a]}]")
    (victim,) = load(text, "grids.g.victims[0].ensemble[1].weights=w").grids[0].victims
    assert victim.params.members[1].params.weights == "w"


def test_the_defaults_of_what_is_not_built_may_be_said(load):
    more = "judge: {draws: 1, broken_at: 1, stored: false}\n    splits: {fit: 0, validate: null, judge: null}\n    channels: null"
    attack = "{use: pgd, eps: 1, awareness: none, ladder: false}"
    assert len(load(grid(attack, more=more)).grids[0].attacks) == 1


def test_an_override_below_a_name_keeps_the_name(load):
    (data,) = load(grid(), "grids.g.data.limit=5").grids[0].data
    assert (data.component.name, data.limit) == ("imagenet-samples", 5)
    (victim,) = load(grid(victims="[torchvision:a]"), "grids.g.victims[0].weights=w").grids[0].victims
    assert (victim.params.name, victim.params.weights) == ("a", "w")


def test_a_channel_is_a_use_whose_axes_are_crossed_with_those_of_the_attack(load):
    attack = "{use: pgd, eps: [0.1, 0.2], channel: [glass, {use: fog, depth: [0.5, 2]}], awareness: [none, channel]}"
    attacks = load(grid(attack)).grids[0].attacks
    assert len(attacks) == 12
    seen = {(a.eps, a.channel.component.name, dict(a.channel.params).get("depth"), a.awareness) for a in attacks}
    assert len(seen) == 12
    assert {depth for _, name, depth, _ in seen if name == "fog"} == {0.5, 2}


def test_who_has_a_channel_is_aware_of_it_unless_the_job_says_otherwise(load):
    (plain,) = load(grid("{use: pgd, eps: 0.1}")).grids[0].attacks
    (through,) = load(grid("{use: pgd, eps: 0.1, channel: fog}")).grids[0].attacks
    (unaware,) = load(grid("{use: pgd, eps: 0.1, channel: fog, awareness: none}")).grids[0].attacks
    assert [(a.awareness, a.channel is None) for a in (plain, through, unaware)] == [
        ("all", True),
        ("all", False),
        ("none", False),
    ]


@pytest.mark.parametrize(
    ("judge", "plain", "through"),
    [
        ("{}", (1, 1), (20, 11)),
        ("{draws: 5}", (5, 3), (5, 3)),
        ("{draws: 5, broken_at: 1}", (5, 1), (5, 1)),
        ("{broken_at: 15}", (1, 1), (20, 15)),
        ("{draws: 1, broken_at: 1}", (1, 1), (1, 1)),
    ],
)
def test_twenty_draws_judge_what_passes_a_channel_and_more_than_half_decide(load, judge, plain, through):
    both = "[{use: pgd, eps: 0.1}, {use: pgd, eps: 0.1, channel: fog}]"
    found = load(grid(both, more=f"judge: {judge}")).grids[0]
    judged = [found.judge.of(attack) for attack in found.attacks]
    assert [(judging.draws, judging.broken_at) for judging in judged] == [plain, through]


ROUND_TRIPS = [
    EXAMPLE,
    "seed: [2, 3]\n" + grid("{use: pgd, steps: [1, 2], eps: [1/255, 0.2], norm: [linf, l2]}"),
    grid(victims="[torchvision:a, {use: torchvision, name: [b, c], id: x, trust: true}]"),
    grid("{use: pgd, eps: 0.1, access: transfer, source: [efficientnet-lite0, torchvision:z], budget: {queries: 9}}"),
    grid(
        victims="[{ensemble: [efficientnet-lite0, {use: torchvision, name: [b, c], mean: [1/2]}], id: x}, torchvision:a]"
    ),
    grid("{use: pgd, eps: 0.1, access: transfer, source: [{ensemble: [torchvision:a, torchvision:b], id: e}, e]}"),
    grid("{use: pgd, eps: [0.1, 2/255]}", more="exclude: {attack: pgd, eps: 2/255}"),
    grid("{use: pgd, eps: 0.1, channel: fog}", more="judge: {broken_at: 12}"),
    grid("{use: pgd, eps: 0.1, channel: [{use: fog, depth: [1, 2]}, glass], awareness: [none, channel], eot: 4}"),
    grid(
        "{use: pgd, eps: 0.1, channel: [glass, fog], awareness: [none, channel]}",
        more="exclude: {channel: fog, awareness: none}",
    ),
    grid(
        "{use: pgd, eps: 0.1, goal: targeted, target: [1, 2]}", more="defenses: [none, {use: noise, sigma: [0.1, 0.2]}]"
    ),
]


@pytest.mark.parametrize("text", ROUND_TRIPS)
def test_the_resolved_job_is_plain_json_and_loads_as_the_same_job(load, text):
    job = load(text)
    resolved = json.loads(json.dumps(job.resolved))
    assert resolved == job.resolved
    again = load(json.dumps(resolved))
    assert again.grids == job.grids
    assert again.seeds == job.seeds
    assert again.resolved == job.resolved


def test_the_resolved_job_writes_shorthands_and_defaults_out_and_keeps_axes(load):
    resolved = load(grid("{use: pgd, eps: [1/255, 0.2]}", victims="torchvision:a")).resolved
    assert (resolved["version"], resolved["name"], resolved["seed"], resolved["results"]) == (
        1,
        "job",
        0,
        "results/job",
    )
    g = resolved["grids"]["g"]
    assert g["data"] == {"use": "imagenet-samples", "size": 224}
    assert g["defenses"] == [{"use": "none"}]
    assert g["victims"][0] | {"use": "torchvision", "name": "a", "weights": "DEFAULT"} == g["victims"][0]
    assert (
        g["attacks"][0] | {"eps": [1 / 255, 0.2], "norm": "linf", "access": "gradient", "steps": 40} == g["attacks"][0]
    )


@pytest.mark.parametrize(
    ("norm", "eps", "shape", "fits"),
    [
        ("l0", 12, (3, 2, 2), True),
        ("l0", 13, (3, 2, 2), False),
        ("linf", 1.0, (1, 2, 2), True),
        ("l2", 2.0, (1, 2, 2), True),
        ("l2", 2.01, (1, 2, 2), False),
        ("l1", 12.0, (3, 2, 2), True),
        ("l1", 12.1, (3, 2, 2), False),
    ],
)
def test_an_eps_that_restricts_nothing_is_told(load, norm, eps, shape, fits):
    name = "sparse" if norm == "l0" else "pgd"
    (attack,) = load(grid(f"{{use: {name}, norm: {norm}, eps: {eps}}}")).grids[0].attacks
    told = check_eps(attack, shape)
    assert (
        told is None if fits else told.startswith(f'attack "{name}": eps {eps:g} is larger than the whole input range')
    )


def test_a_component_that_declares_a_common_field_is_a_programming_error(tmp_path, components):
    class Clash(Params):
        eps: float = 1.0

    path = tmp_path / "job.yaml"
    path.write_text(grid("{use: clash, eps: 1}"))
    clash = Component("attack", "clash", "", "m:f", Clash)
    with pytest.raises(ValueError, match=r"attack clash declares \['eps'\]"):
        load_job(path, components={**components, ("attack", "clash"): clash})


def test_loading_imports_no_torch_and_no_ray(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(grid("{use: nothing-like-this, eps: 1}", data="x", victims="y"))
    code = f"""
import sys
from pathlib import Path
from raygrid.errors import UsageError
from raygrid.job import job_schema, load_job
try:
    load_job(Path({str(path)!r}))
except UsageError as error:
    assert len(error.messages) == 3, error
else:
    raise SystemExit("the job should have been refused")
job_schema()
print(sorted({{"torch", "torchvision", "ray", "pyarrow", "duckdb", "rich"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize("attack", ["blur", "{use: blur}", "{use: blur, eps: null, norm: null}"])
def test_an_attack_without_a_ball_needs_no_eps(load, attack):
    job = load(grid(attack))
    (spec,) = job.grids[0].attacks
    assert (spec.norm, spec.eps, spec.radius, spec.access) == ("", math.inf, None, "none")
    written = job.resolved["grids"]["g"]["attacks"][0]
    assert not {written.get("norm"), written.get("eps")} - {None}
    assert load(json.dumps(job.resolved)).grids == job.grids
