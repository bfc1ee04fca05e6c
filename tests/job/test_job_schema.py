import json
from pathlib import Path

import jsonschema
import pytest

from raygrid import registry
from raygrid.errors import UsageError
from raygrid.job import job_schema
from raygrid.job.fields import FIELDS
from raygrid.job.yaml12 import Mark, fraction, read_text

COMMITTED = Path(__file__).parents[2] / "jobs" / "job.schema.json"

JOB = """\
version: 1
grids:
  g:
    data: {use: imagenet-samples, limit: 20}
    victims: [efficientnet-lite0, torchvision:a, {use: torchvision, name: b, mean: [1/2, 0.5]}]
    defenses: {use: noise, sigma: [1/255, 0.1]}
    attacks:
      - {use: pgd, norm: [linf, l2], eps: [1/255, 8/255], steps: 20, budget: {queries: [10, 20]}}
      - {use: pgd, eps: 1/255, access: transfer, source: [efficientnet-lite0, {use: torchvision:c}]}
      - {use: pgd, eps: 1/255, channel: fog, awareness: [none, channel]}
      - {use: pgd, eps: 1/255, channel: [glass, {use: fog, depth: [1/2, 2]}]}
    exclude: [{attack: pgd, eps: 1/255, steps: 20}]
    judge: {draws: 1, stored: false}
"""


@pytest.fixture(scope="module")
def validator(components):
    schema = job_schema(components)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def plain(text):
    return read_text(text, lambda line, column: Mark("f", line, column)).plain()


def test_the_committed_schema_is_current():
    regenerate = f"regenerate it: raygrid schema > {COMMITTED.relative_to(COMMITTED.parents[1])}"
    assert COMMITTED.is_file(), regenerate
    assert json.loads(COMMITTED.read_text()) == job_schema(), regenerate


def test_a_job_that_loads_is_valid(validator, load):
    load(JOB)
    validator.validate(plain(JOB))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("version: 1", "version: 2"),
        ("grids:", "grid:"),
        ("data:", "date:"),
        ("limit:", "limt:"),
        ("limit: 20", "limit: 0"),
        ("limit: 20", "limit: [5, 20]"),
        ("use: imagenet-samples", "use: imagenet-sample"),
        ("[efficientnet-lite0, torch", "[torchvision, torch"),
        ("torchvision:a", "efficientnet-lite0:a"),
        ("[1/2, 0.5]", "[half, 0.5]"),
        ("[1/2, 0.5]", "[[1, 1], [1, 1]]"),
        ("sigma: [1/255, 0.1]", "sigma: x"),
        ("noise, sigma: [1/255, 0.1]", "noise"),
        ("norm: [linf, l2]", "norm: l7"),
        ("eps: [1/255, 8/255]", "eps: 1/255/2"),
        ("eps: [1/255, 8/255], ", ""),
        ("steps: 20,", 'steps: "20",'),
        ("steps: 20,", "step: 20,"),
        ("queries:", "querys:"),
        ("access: transfer", "access: transfers"),
        ("{use: torchvision:c}", "{use: torchvison:c}"),
        ("draws: 1", "draws: [1, 2]"),
        ("draws: 1", "draws: 0"),
        ("channel: fog", "channel: foggy"),
        ("channel: fog", "channel: {use: fog, deep: 1}"),
        ("stored: false", "stored: maybe"),
        ("    exclude:", "    splits: {validate: 1}\n    exclude:"),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(validator, load, right, wrong):
    text = JOB.replace(right, wrong, 1)
    assert text != JOB
    assert not validator.is_valid(plain(text))
    with pytest.raises(UsageError):
        load(text)


CHAINS = {
    "[none, {chain: [none, {use: noise, sigma: [1/255, 0.1]}]}]": True,
    "{chain: [{use: noise, sigma: 1}]}": True,
    "{chain: none}": False,
    "{chain: []}": False,
    "{chain: [{use: noise}]}": False,
    "{chain: [nose]}": False,
    "{chain: [none], sigma: 1}": False,
}


@pytest.mark.parametrize("defenses", CHAINS)
def test_the_schema_knows_a_chain_when_it_sees_one(validator, load, defenses):
    text = JOB.replace("{use: noise, sigma: [1/255, 0.1]}", defenses, 1)
    assert validator.is_valid(plain(text)) is CHAINS[defenses]
    if CHAINS[defenses]:
        load(text)
    else:
        with pytest.raises(UsageError):
            load(text)


ENSEMBLES = {
    "{ensemble: [efficientnet-lite0, {use: torchvision, name: [a, b]}], id: both}": True,
    "{ensemble: [torchvision:x]}": True,
    "{ensemble: [efficientnet-lite0, torchvision:x], rule: all}": True,
    "{ensemble: [efficientnet-lite0, torchvision:x], rule: some}": False,
    "{ensemble: [efficientnet-lite0, torchvision:x], rule: [mean, all]}": False,
    "{ensemble: efficientnet-lite0}": False,
    "{ensemble: []}": False,
    "{ensemble: [torchvision]}": False,
    "{ensemble: [efficientnet-lite9]}": False,
    "{ensemble: [efficientnet-lite0], ids: both}": False,
    "{ensemble: [efficientnet-lite0], use: efficientnet-lite0}": False,
}


@pytest.mark.parametrize("victims", ENSEMBLES)
@pytest.mark.parametrize("place", ["victims: [efficientnet-lite0, torchvision:a,", "source: [efficientnet-lite0,"])
def test_the_schema_knows_an_ensemble_when_it_sees_one(validator, load, victims, place):
    text = JOB.replace(place, f"{place} {victims},", 1)
    assert text != JOB
    assert validator.is_valid(plain(text)) is ENSEMBLES[victims]
    if ENSEMBLES[victims]:
        load(text)
    else:
        with pytest.raises(UsageError):
            load(text)


@pytest.mark.parametrize("attack", ["{use: blur, eps: 1/255}", "{use: blur, norm: linf}", "pgd", "{use: pgd}"])
def test_the_schema_knows_which_attacks_have_a_ball(validator, load, attack):
    text = JOB.replace("attacks:", f"attacks:\n      - {attack}", 1)
    assert not validator.is_valid(plain(text))
    with pytest.raises(UsageError):
        load(text)
    assert validator.is_valid(plain(JOB.replace("attacks:", "attacks:\n      - blur\n      - {use: blur}", 1)))


def test_every_parameter_of_every_component_stands_in_the_schema_with_its_description():
    table = registry.components()
    defs = job_schema()["$defs"]
    for (kind, name), component in table.items():
        if kind not in FIELDS:
            continue
        properties = defs[f"{kind}.{name}"]["properties"]
        declared = {**FIELDS[kind].model_fields, **component.params.model_fields}
        assert declared.keys() <= properties.keys(), name
        shared = defs[f"{kind}-fields"]["properties"]
        assert all(properties[key]["$ref"] == f"#/$defs/{kind}-fields/properties/{key}" for key in shared)
        undescribed = [key for key in declared if not {**properties, **shared}[key].get("description")]
        assert undescribed == [], name


def test_what_is_not_built_yet_is_named_and_says_so(components):
    defs = job_schema(components)["$defs"]
    planned = {
        "channels": defs["grid"]["properties"]["channels"],
        "validate": defs["grid"]["properties"]["splits"]["properties"]["validate"],
    }
    assert [key for key, field in planned.items() if not field["description"].startswith("Not built yet (pl")] == []


@pytest.mark.parametrize(
    "text", ["8/255", "1 / 2", "0.5/255", "1e-1/2.", "-1/3", ".5/.5", "8/", "/8", "a/b", "8", "1/2/3"]
)
def test_the_schema_knows_a_fraction_when_it_sees_one(validator, text):
    job = plain(JOB)
    job["grids"]["g"]["defenses"]["sigma"] = text
    assert validator.is_valid(job) == (fraction(text) is not None)
