"""What a person gets to read for each mistake: the exact messages."""

import pytest
from job_text import grid

from raygrid.errors import UsageError


def messages(load, text, *overrides):
    with pytest.raises(UsageError) as error:
        load(text, *overrides)
    return list(error.value.messages)


PLANNED = "not built yet (planned: {}); leave it out"

LINE_6 = [
    ("{use: pgd}", '6:14: grids.g.attacks: attack "pgd" needs "eps"'),
    ("pgd", '6:14: grids.g.attacks: attack "pgd" needs "eps"'),
    ("{use: pgd, eps: null}", '6:14: grids.g.attacks: attack "pgd" needs "eps"'),
    (
        "{use: blur, eps: 0}",
        '6:31: grids.g.attacks.eps: attack "blur" keeps to no ball around the input and takes no eps',
    ),
    (
        "{use: blur, norm: l2}",
        '6:32: grids.g.attacks.norm: attack "blur" keeps to no ball around the input and takes no norm',
    ),
    (
        "{use: blur, access: gradient}",
        '6:34: grids.g.attacks.access: attack "blur" asks nothing of any victim; its access is "none"',
    ),
    (
        "{use: blur, access: transfer, source: efficientnet-lite0}",
        '6:34: grids.g.attacks.access: attack "blur" asks nothing of any victim; its access is "none"',
    ),
    ("{eps: 1}", '6:14: grids.g.attacks: this attack needs "use", the name of one'),
    ("7", "6:14: grids.g.attacks: must be the name of one attack or a mapping {use: name, ...}, not 7"),
    ("[]", "6:14: grids.g.attacks: the list is empty"),
    ("{use: [pgd], eps: 1}", "6:20: grids.g.attacks.use: must be the name of one attack, not a list"),
    (
        "{use: pdg, eps: 1}",
        '6:20: grids.g.attacks.use: unknown attack "pdg"; did you mean "pgd"?\n  raygrid list attacks lists them.',
    ),
    ("{use: pgd:x, eps: 1}", '6:20: grids.g.attacks.use: attack "pgd" takes nothing after a colon'),
    (
        "{use: pgd, eps: 1, step: 2}",
        '6:33: grids.g.attacks.step: unknown parameter "step" of attack "pgd"; did you mean "steps"?\n'
        "  raygrid describe pgd lists them.",
    ),
    (
        "{use: pgd, eps: 1, norn: l2}",
        '6:33: grids.g.attacks.norn: unknown parameter "norn" of attack "pgd"; did you mean "norm"?\n'
        "  raygrid describe pgd lists them.",
    ),
    (
        "[{use: pgd, eps: 1, budget: {querys: 2}}]",
        '6:43: grids.g.attacks[0].budget.querys: unknown parameter "querys" of "budget"; did you mean "queries"?',
    ),
    (
        "{use: pgd, eps: 1, budget: {queries: 0}}",
        "6:51: grids.g.attacks.budget.queries: must be greater than or equal to 1, not 0",
    ),
    (
        "{use: pgd, eps: [0.1, x]}",
        '6:36: grids.g.attacks.eps[1]: must be a number or a fraction such as 8/255, not "x"',
    ),
    ("{use: pgd, eps: -1}", "6:30: grids.g.attacks.eps: must be greater than or equal to 0, not -1"),
    (
        "{use: pgd, eps: 8}",
        "6:30: grids.g.attacks.eps: eps 8 is outside the input range [0, 1]; did you mean 8/255?",
    ),
    ("{use: pgd, eps: 300}", "6:30: grids.g.attacks.eps: eps 300 is outside the input range [0, 1]"),
    (
        "{use: sparse, eps: 2.5}",
        "6:33: grids.g.attacks.eps: eps 2.5 of norm l0 is no whole number; it counts the values (pixels times channels) "
        "that may change",
    ),
    (
        "{use: pgd, eps: []}",
        "6:30: grids.g.attacks.eps: the list is empty; give at least one value or leave the key out",
    ),
    ("{use: pgd, eps: [0.1, 1/10]}", "6:36: grids.g.attacks.eps[1]: 0.1 is listed twice"),
    ('{use: pgd, eps: 1, steps: "20"}', '6:40: grids.g.attacks.steps: must be a whole number, not "20"'),
    ("{use: pgd, eps: 1, steps: true}", "6:40: grids.g.attacks.steps: must be a whole number, not true"),
    ("{use: pgd, eps: 1, steps: {}}", "6:40: grids.g.attacks.steps: must be a whole number, not a mapping"),
    ("{use: pgd, eps: 1, random_start: no}", '6:47: grids.g.attacks.random_start: must be true or false, not "no"'),
    (
        "{use: pgd, eps: 1, loss: cee}",
        """6:39: grids.g.attacks.loss: must be 'ce' or 'margin', not "cee"; did you mean "ce"?""",
    ),
    ("{use: pgd, eps: 1, seeds: 1.5}", "6:40: grids.g.attacks.seeds: must be a whole number or a text, not 1.5"),
    ("{use: pgd, eps: 1, budget: 7}", "6:41: grids.g.attacks.budget: must be a mapping, not 7"),
    (
        "{use: pgd, eps: 1, norm: l3}",
        '6:39: grids.g.attacks.norm: attack "pgd" knows no norm "l3"; it knows: linf, l2, l1',
    ),
    (
        "{use: pgd, eps: 1, norm: lin}",
        '6:39: grids.g.attacks.norm: attack "pgd" knows no norm "lin"; it knows: linf, l2, l1',
    ),
    (
        "{use: uniform, eps: 1, goal: random-target}",
        '6:43: grids.g.attacks.goal: attack "uniform" knows no goal "random-target"; it knows: untargeted',
    ),
    (
        "{use: pgd, eps: 1, goal: targeted}",
        '6:39: grids.g.attacks.goal: goal "targeted" needs "target", the number of the class to reach',
    ),
    (
        "{use: pgd, eps: 1, target: 3}",
        '6:41: grids.g.attacks.target: is for goal "targeted", not "untargeted"; make it an attack of its own',
    ),
    (
        "{use: pgd, eps: 1, access: score}",
        '6:41: grids.g.attacks.access: attack "pgd" needs gradient access, more than "score"',
    ),
    (
        "{use: pgd, eps: 1, access: transfer}",
        '6:41: grids.g.attacks.access: access "transfer" needs "source", the victim to craft on',
    ),
    (
        "{use: pgd, eps: 1, source: efficientnet-lite0}",
        '6:41: grids.g.attacks.source: is for access "transfer", not "gradient"; make it an attack of its own',
    ),
    (
        "{use: pgd, eps: 1, access: transfer, source: min}",
        '6:59: grids.g.attacks.source: unknown victim "min"; did you mean "mine"?\n  raygrid list victims lists them.',
    ),
    (
        "{use: pgd, eps: 1, access: transfer, source: {use: efficientnet-lite1, id: mine}}",
        '6:89: grids.g.attacks.source.id: another victim of the grid has the id "mine"; set "id" of one of them',
    ),
    (
        "{use: pgd, eps: 1, access: transfer, source: {ensemble: [efficientnet-lite0, min]}}",
        '6:91: grids.g.attacks.source.ensemble[1]: unknown victim "min"\n  raygrid list victims lists them.',
    ),
    (
        "{use: pgd, eps: 1, access: transfer, source: {ensemble: [efficientnet-lite1], id: mine}}",
        '6:96: grids.g.attacks.source.id: another victim of the grid has the id "mine"; set "id" of one of them',
    ),
    (
        "{use: pgd, eps: 1, channel: [foggy]}",
        '6:43: grids.g.attacks.channel[0]: unknown channel "foggy"; did you mean "fog"?\n'
        "  raygrid list channels lists them.",
    ),
    (
        "{use: pgd, eps: 1, channel: {use: fog, deep: 2}}",
        '6:53: grids.g.attacks.channel.deep: unknown parameter "deep" of channel "fog"; did you mean "depth"?\n'
        "  raygrid describe fog lists them.",
    ),
    (
        "{use: pgd, eps: 1, channel: null}",
        "6:42: grids.g.attacks.channel: must be the name of one channel or a mapping {use: name, ...}, not null",
    ),
    (
        "{use: pgd, eps: 1, awareness: channel}",
        '6:44: grids.g.attacks.awareness: awareness "channel" needs "channel", what the attack averages over',
    ),
    (
        "{use: blur, channel: fog, awareness: channel}",
        '6:51: grids.g.attacks.awareness: attack "blur" takes no look that could pass a channel: say awareness: none',
    ),
    (
        "{use: closest, eps: 1, channel: fog}",
        '6:14: grids.g.attacks: attack "closest" takes the closest example that one look calls a success, and through a '
        "channel no two looks agree: say awareness: none, or take an attack of a given eps",
    ),
]


@pytest.mark.parametrize(("attack", "message"), LINE_6)
def test_a_wrong_attack_is_told_with_its_place(load, attack, message):
    assert messages(load, grid(attack, victims="{use: efficientnet-lite0, id: mine}")) == [f"job.yaml:{message}"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "1:1: a job must be a mapping with version and grids, not a list"),
        (grid().replace("1", "2", 1), "1:10: version: must be 1, not 2"),
        (grid().replace("version: 1\n", ""), '1:1: the job needs "version"'),
        ("version: 1\n", '1:1: the job needs "grids"'),
        ("version: 1\ngrids: {}\n", "2:8: grids: must be a mapping of names to grids, at least one"),
        ("version: 1\ngrids: {g: 3}\n", '2:12: grids.g: grid "g" must be a mapping, not 3'),
        ("sed: 1\n" + grid(), '1:1: sed: unknown key "sed" of the job; did you mean "seed"?'),
        ("grid: 1\n" + grid(), '1:1: grid: unknown key "grid" of the job; did you mean "grids"?'),
        ("seed: [0, -1]\n" + grid(), "1:11: seed[1]: must be greater than or equal to 0, not -1"),
        ("seed: 1/2\n" + grid(), '1:7: seed: must be a whole number, not "1/2"'),
        ("name: [a, b]\n" + grid(), "1:7: name: must be a text, not a list"),
        ("name: a/b\n" + grid(), "1:7: name: string should match pattern '^[\\w.-]+$', not \"a/b\""),
        (grid(more="victim: x"), '7:5: grids.g.victim: unknown key "victim" of grid "g"; did you mean "victims"?'),
        (
            grid(data="[imagenet-samples]"),
            "4:11: grids.g.data: must be one dataset, not a list; give each a grid of its own",
        ),
        (
            grid(data="{use: imagenet-samples, limt: 1}"),
            '4:35: grids.g.data.limt: unknown parameter "limt" of dataset "imagenet-samples"; did you mean "limit"?\n'
            "  raygrid describe imagenet-samples lists them.",
        ),
        (
            grid(data="{use: imagenet-samples, limit: [5, 10]}"),
            "4:42: grids.g.data.limit: must be a whole number, not a list",
        ),
        (
            grid(data="{use: imagenet-samples, limit: 0}"),
            "4:42: grids.g.data.limit: must be greater than or equal to 1, not 0",
        ),
        (
            grid(victims="[torchvision:a, torchvision:a]"),
            '5:30: grids.g.victims[1]: two victims of the grid have the id "torchvision:a"; set "id" of one of them',
        ),
        (
            grid(victims="{ensemble: efficientnet-lite0}"),
            '5:25: grids.g.victims.ensemble: must be a list of victims, not "efficientnet-lite0"',
        ),
        (grid(victims="{ensemble: []}"), "5:25: grids.g.victims.ensemble: the list is empty"),
        (
            grid(victims="{ensemble: [efficientnet-lite0], idd: both}"),
            '5:47: grids.g.victims.idd: unknown key "idd" of an ensemble; did you mean "id"?',
        ),
        (
            grid(victims="{ensemble: [efficientnet-lite0], id: [a, b]}"),
            "5:51: grids.g.victims.id: must be a text, not a list",
        ),
        (
            grid(victims="[{ensemble: [efficientnet-lite0, {ensemble: [efficientnet-lite1]}]}]"),
            "5:47: grids.g.victims[0].ensemble[1]: an ensemble is made of victims, not of ensembles: name them in one list",
        ),
        (
            grid(victims="{ensemble: [efficientnet-lite0, {use: torchvision, name: a, weigths: w}]}"),
            '5:74: grids.g.victims.ensemble[1].weigths: unknown parameter "weigths" of victim "torchvision"; did you mean '
            '"weights"?\n  raygrid describe torchvision lists them.',
        ),
        (
            grid(victims="[efficientnet-lite0, {ensemble: [efficientnet-lite1], id: efficientnet-lite0}]"),
            '5:72: grids.g.victims[1].id: two victims of the grid have the id "efficientnet-lite0"; set "id" of one of them',
        ),
        (
            grid(victims="{use: torchvision:a, name: b}"),
            '5:41: grids.g.victims.name: "name" is set twice: here and by "torchvision:a"',
        ),
        (grid(victims="torchvision"), '5:14: grids.g.victims: victim "torchvision" needs "name"'),
        (
            grid(victims="{use: torchvision:a, input: [3, 32]}"),
            "5:42: grids.g.victims.input: the list is too short: item [2] is missing",
        ),
        (
            grid(victims="{use: torchvision:a, mean: [0, x]}"),
            '5:45: grids.g.victims.mean[1]: must be a number or a fraction such as 8/255, not "x"',
        ),
        (
            grid(victims="{use: torchvision:a, weights: w.html}"),
            "5:44: grids.g.victims.weights: a web page is no checkpoint; give a .safetensors file",
        ),
        (
            grid(more="defenses: [none, {chain: [none, {chain: [none]}]}]"),
            "7:37: grids.g.defenses[1].chain[1]: a chain is made of defenses, not of chains: name them in one list",
        ),
        (
            grid(more="defenses: {chain: [none], sigma: 1}"),
            '7:31: grids.g.defenses.sigma: unknown key "sigma" beside "chain", which takes a list alone',
        ),
        (grid(more="defenses: {chain: none}"), '7:23: grids.g.defenses.chain: must be a list of defenses, not "none"'),
        (grid(more="defenses: {chain: []}"), "7:23: grids.g.defenses.chain: the list is empty"),
        (
            grid(more="defenses: {chain: [none, {use: noise, sigma: 1, sgma: 1}]}"),
            '7:53: grids.g.defenses.chain[1].sgma: unknown parameter "sgma" of defense "noise"; did you mean "sigma"?\n'
            "  raygrid describe noise lists them.",
        ),
        (
            grid(more="defenses: {chain: [{use: inside, site: conv1}, {use: inside, site: conv2}]}"),
            "7:16: grids.g.defenses.chain: inside and inside both change hidden layers, and each has to stand right around the "
            "victim: give one of them, such as noise at `site: all`",
        ),
        (
            grid(more="defenses: {chain: [{use: noise, sigma: 1}, detector]}"),
            "7:16: grids.g.defenses.chain: detector raises the alarm by what the whole chain answers: name it first",
        ),
        (
            grid(more="splits: {fit: 0.5}"),
            "7:19: grids.g.splits.fit: must be a whole number, not 0.5",
        ),
        (
            grid(more="splits: {fit: 5, validate: 5}"),
            f"7:32: grids.g.splits.validate: {PLANNED.format('samples that choose among fits')}",
        ),
        (
            grid(more="judge: {draws: [5, 20]}"),
            "7:20: grids.g.judge.draws: must be a whole number, not a list",
        ),
        (
            grid(more="judge: {draws: 5, broken_at: 6}"),
            "7:34: grids.g.judge.broken_at: more than the 5 draws that judge: nothing could be broken",
        ),
        (
            grid(more="judge: {broken_at: 6}"),
            '7:24: grids.g.judge.broken_at: needs "draws": without a channel or a random defense, one draw decides',
        ),
    ],
)
def test_a_wrong_job_is_told_with_its_place(load, text, message):
    assert messages(load, text) == [f"job.yaml:{message}"]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(load):
    text = """\
version: 1
grids:
  a:
    date: imagenet-samples
    victims: [efficientnet-lite0, efficientnet-lite9]
    attacks:
      - {use: pgd, norm: l7, eps: [1/255, 8], step: 20}
      - {use: apgd-ce, eps: 1, steps: [1, two]}
  b c:
    data: {use: imagenet-samples, limit: 0}
    victims: efficientnet-lite0
    attacks: {use: pgd, eps: 1}
"""
    assert messages(load, text, "seed=x", "grids.d.data=1") == [
        '-s grids.d.data: there is no "d" in grids',
        '-s seed: must be a whole number, not "x"',
        'job.yaml:4:5: grids.a: grid "a" needs "data"',
        'job.yaml:4:5: grids.a.date: unknown key "date" of grid "a"; did you mean "data"?',
        'job.yaml:5:35: grids.a.victims[1]: unknown victim "efficientnet-lite9"; did you mean "efficientnet-lite1"?'
        "\n  raygrid list victims lists them.",
        'job.yaml:7:26: grids.a.attacks[0].norm: attack "pgd" knows no norm "l7"; it knows: linf, l2, l1',
        'job.yaml:7:47: grids.a.attacks[0].step: unknown parameter "step" of attack "pgd"; did you mean "steps"?'
        "\n  raygrid describe pgd lists them.",
        'job.yaml:8:43: grids.a.attacks[1].steps[1]: must be a whole number, not "two"',
        "job.yaml:9:3: grids.b c: the name of a grid is made of letters, digits, _ and -",
        "job.yaml:10:42: grids.b c.data.limit: must be greater than or equal to 1, not 0",
    ]


def test_a_wrong_attack_does_not_hide_a_wrong_judge(load):
    assert messages(load, grid("{use: pgd, eps: 8}", more="judge: {draws: 5, broken_at: 6}")) == [
        "job.yaml:6:30: grids.g.attacks.eps: eps 8 is outside the input range [0, 1]; did you mean 8/255?",
        "job.yaml:7:34: grids.g.judge.broken_at: more than the 5 draws that judge: nothing could be broken",
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("grids.g.data.limit=0", "-s grids.g.data.limit: must be greater than or equal to 1, not 0"),
        (
            "grids.g.attacks[0].eps=8",
            "-s grids.g.attacks[0].eps: eps 8 is outside the input range [0, 1]; did you mean 8/255?",
        ),
        ("grids.g.attacks={use: pgd}", '-s grids.g.attacks: attack "pgd" needs "eps"'),
        ("sed=1", '-s sed: unknown key "sed" of the job; did you mean "seed"?'),
        (
            "grids.g.date.limit=1",
            '-s grids.g.date: unknown key "date" of grid "g"; did you mean "data"?',
        ),
        (
            "grids.g.data.limt=1",
            '-s grids.g.data.limt: unknown parameter "limt" of dataset "imagenet-samples"; did you mean "limit"?\n'
            "  raygrid describe imagenet-samples lists them.",
        ),
    ],
)
def test_overrides_are_validated_like_the_file(load, override, message):
    assert messages(load, grid(), override) == [message]


def test_what_yaml_refuses_hides_no_other_mistake(load):
    attacks = "{use: pgd, eps: .nan}"
    grid_ = f"g: {{data: mnist-5, victims: efficientnet-lite0, attacks: {attacks}}}"
    text = f"version: 1\nname: a\nname: b\nsede: 1\ngrids:\n  {grid_}\n"
    assert [message.split("\n")[0] for message in messages(load, text)] == [
        "job.yaml:3:1: name: duplicate key; keep one of them",
        'job.yaml:4:1: sede: unknown key "sede" of the job; did you mean "seed"?',
        'job.yaml:6:13: grids.g.data: unknown dataset "mnist-5"',
        "job.yaml:6:76: grids.g.attacks.eps: must be a finite number, not .nan",
    ]
