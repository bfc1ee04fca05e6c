import time
from itertools import product

import pytest

from raygrid.errors import UsageError
from raygrid.job import excluded

JOB = """\
version: 1
grids:
  g:
    data: imagenet-samples
    victims: [efficientnet-lite0, {use: torchvision:a, id: net}]
    defenses: [none, {use: noise, sigma: 0.5}]
    attacks:
      - {use: pgd, eps: [1/255, 8/255], steps: [5, 10]}
      - {use: apgd-ce, norm: l2, eps: 1}
      - {use: pgd, norm: l2, eps: 1, access: transfer, source: net}
    exclude: RULES
"""


def dropped(load, rules):
    """Name the combinations that the rules drop."""
    (grid,) = load(JOB.replace("RULES", rules)).grids
    return [
        (v.id, d.component.name, a.component.name, round(a.eps * 255), a.params.steps)
        for v, d, a in product(grid.victims, grid.defenses, grid.attacks)
        if excluded(grid, v, d, a)
    ]


def everything(**kept):
    names = ("victim", "defense", "attack", "eps", "steps")
    attacks = [
        *[("pgd", 1, 5), ("pgd", 1, 10), ("pgd", 8, 5), ("pgd", 8, 10)],
        *[("apgd-ce", 255, 40), ("pgd", 255, 40)],
    ]
    cells = [(v, d, *a) for v in ("efficientnet-lite0", "net") for d in ("none", "noise") for a in attacks]
    return [cell for cell in cells if all(cell[names.index(key)] in values for key, values in kept.items())]


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("[]", [{"victim": []}]),
        ("{victim: net}", [{"victim": ["net"]}]),
        ("[{defense: noise, attack: apgd-ce}]", [{"defense": ["noise"], "attack": ["apgd-ce"]}]),
        ("[{eps: 8/255, steps: 5}]", [{"eps": [8], "steps": [5]}]),
        ("[{eps: [1/255, 8/255], steps: 5}]", [{"eps": [1, 8], "steps": [5]}]),
        ("[{norm: l2, access: gradient}]", [{"attack": ["apgd-ce"]}]),
        ("[{source: net}]", [{"attack": ["pgd"], "eps": [255]}]),
        ("[{victim: net, eps: 1}, {steps: 5}]", [{"victim": ["net"], "eps": [255]}, {"steps": [5]}]),
    ],
)
def test_a_mapping_drops_what_matches_all_of_its_keys(load, rules, kept):
    expected = {cell for selection in kept for cell in everything(**selection)}
    assert dropped(load, rules) == [cell for cell in everything() if cell in expected]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("[7]", "11:15: grids.g.exclude[0]: must be a mapping such as {attack: pgd, eps: 8/255}, not 7"),
        ("[{}]", "11:15: grids.g.exclude[0]: must be a mapping such as {attack: pgd, eps: 8/255}, not a mapping"),
        ("{atack: pgd}", '11:15: grids.g.exclude.atack: unknown key "atack" of exclude; did you mean "attack"?'),
        ("[{stepz: 5}]", '11:16: grids.g.exclude[0].stepz: unknown key "stepz" of exclude; did you mean "steps"?'),
        ("{attack: pdg}", '11:23: grids.g.exclude.attack: nothing in the grid has attack "pdg"; did you mean "pgd"?'),
        (
            "{eps: [1/255, 3/255]}",
            '11:28: grids.g.exclude.eps[1]: nothing in the grid has eps "3/255"; it has: 0.00392157, 0.0313725, 1',
        ),
        ("{steps: true}", "11:22: grids.g.exclude.steps: nothing in the grid has steps true; it has: 5, 10, 40"),
        ("{attack: apgd-ce, norm: linf}", "11:14: grids.g.exclude: no attack of the grid has all of this at once"),
    ],
)
def test_a_rule_that_would_drop_nothing_is_refused(load, rules, message):
    with pytest.raises(UsageError) as error:
        load(JOB.replace("RULES", rules))
    assert error.value.messages == (f"job.yaml:{message}",)


def test_a_refused_victim_makes_no_mistakes_of_the_rules_and_sources_that_name_it(load):
    with pytest.raises(UsageError) as error:
        load(JOB.replace("RULES", "{victim: net}").replace("torchvision:a", "torchvison:a"))
    assert error.value.messages == (
        'job.yaml:5:41: grids.g.victims[1].use: unknown victim "torchvison"; did you mean "torchvision"?\n'
        "  raygrid list victims lists them.",
    )


def test_a_hundred_thousand_questions_take_seconds_at_most(load):
    (grid,) = load(JOB.replace("RULES", "[{victim: net, eps: 8/255}, {steps: 5}, {defense: noise, norm: l2}]")).grids
    v, d, a = grid.victims[0], grid.defenses[0], grid.attacks[1]
    start = time.process_time()
    assert not any(excluded(grid, v, d, a) for _ in range(100_000))
    assert time.process_time() - start < 3
