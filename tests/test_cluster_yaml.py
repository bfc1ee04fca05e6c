"""cluster.yaml was never launched: it is held to Ray's schema, to botocore's model of EC2, and to what we promise."""

import json
import re
import tomllib
from copy import deepcopy
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TOKEN = "~/.ray/auth_token"

COMMANDS = ["initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"]
START_COMMANDS = ["head_start_ray_commands", "worker_start_ray_commands"]


@pytest.fixture
def cluster() -> dict[str, Any]:
    return YAML(typ="safe").load((ROOT / "cluster.yaml").read_text())


def refuse_what_ray_would(config: dict[str, Any]) -> None:
    """Validate as `ray up` does; by the schema file alone where a later Ray has moved these private functions."""
    try:
        from ray.autoscaler._private.util import prepare_config, validate_config
    except ImportError:
        import jsonschema
        import ray.autoscaler

        schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
        jsonschema.validate(config, schema)
    else:
        validate_config(prepare_config(deepcopy(config)))


def workers(config: dict[str, Any]) -> dict[str, Any]:
    return {name: kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]}


def start_command(config: dict[str, Any], commands: str) -> str:
    [command] = [c for c in config[commands] if "ray start" in c]
    return command


def test_ray_accepts_it(cluster):
    refuse_what_ray_would(cluster)


MISTAKES = {
    "a misspelled key": lambda c: c.update(max_worker=c.pop("max_workers")),
    "a misspelled key of a node type": lambda c: c["available_node_types"]["head"].update(resource={}),
    "a fraction of a GPU": lambda c: c["available_node_types"]["gpu_spot"]["resources"].update(GPU=0.5),
    "commands that are no list": lambda c: c.update(head_start_ray_commands="ray start"),
}


@pytest.mark.parametrize("spoil", MISTAKES.values(), ids=MISTAKES.keys())
def test_ray_refuses(cluster, spoil):
    spoil(cluster)
    with pytest.raises(Exception, match=r"Additional properties are not allowed|is not of type"):
        refuse_what_ray_would(cluster)


@pytest.mark.parametrize("name", COMMANDS + START_COMMANDS)
def test_nothing_is_left_to_the_defaults_of_the_launcher(cluster, name):
    assert isinstance(cluster[name], list)


def test_installing_raygrid_leaves_the_ray_of_the_image_alone(cluster):
    ray, python, _ = cluster["docker"]["image"].split(":")[1].split("-")
    [wanted] = [r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "ray"]
    assert ray in wanted.specifier
    assert python.replace("py3", "3.") in SpecifierSet(PROJECT["requires-python"])


def test_the_extras_it_installs_exist(cluster):
    [mount] = [remote for remote, local in cluster["file_mounts"].items() if local == "."]
    [wanted] = re.findall(rf"pip install .*{re.escape(mount)}\[(.+)\]", "\n".join(cluster["setup_commands"]))
    assert set(wanted.split(",")) <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("commands", START_COMMANDS)
def test_every_node_asks_for_the_token(cluster, commands):
    assert re.search(r"RAY_AUTH_MODE=token .*ray start", start_command(cluster, commands))
    assert TOKEN in cluster["file_mounts"].values()


def test_the_dashboard_listens_to_the_head_only(cluster):
    assert re.findall(r"--dashboard-host[= ](\S+)", start_command(cluster, "head_start_ray_commands")) == ["127.0.0.1"]


def test_the_head_runs_the_second_autoscaler_on_this_file(cluster):
    command = start_command(cluster, "head_start_ray_commands")
    assert "RAY_enable_autoscaler_v2=1" in command
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in command


def test_the_head_takes_no_work(cluster):
    head = cluster["available_node_types"][cluster["head_node_type"]]
    assert head["resources"]["CPU"] == 0
    assert "GPU" not in head["resources"]


def test_gpu_nodes_start_from_zero_and_stay_within_the_whole(cluster):
    for kind in workers(cluster).values():
        assert kind["resources"]["GPU"] == 1
        assert kind["min_workers"] == 0
        assert 0 < kind["max_workers"] <= cluster["max_workers"]


def test_labels_say_how_each_node_type_is_paid_for(cluster):
    for kind in workers(cluster).values():
        spot = kind["node_config"].get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        assert kind["labels"]["ray.io/market-type"] == ("spot" if spot else "on-demand")
    assert {kind["labels"]["ray.io/market-type"] for kind in workers(cluster).values()} == {"spot", "on-demand"}


def test_what_is_mounted_exists_or_is_the_token(cluster):
    for local in cluster["file_mounts"].values():
        assert local == TOKEN or (ROOT / local).exists()


def test_no_exclusion_drops_a_part_of_the_package(cluster):
    anywhere = [pattern.rstrip("/") for pattern in cluster["rsync_exclude"] if not pattern.startswith("/")]
    parts = {part for path in (ROOT / "raygrid").rglob("*.py") for part in path.relative_to(ROOT).parts}
    assert not [(pattern, part) for pattern in anywhere for part in parts if fnmatch(part, pattern)]
    assert not [pattern for pattern in anywhere if "/" in pattern]


@pytest.mark.parametrize("name", ["head", "gpu_spot", "gpu_ondemand"])
def test_ec2_knows_every_key_and_instance_type(cluster, name):
    session = pytest.importorskip("botocore.session", reason="needs boto3: pip install 'raygrid[cloud]'")
    from botocore.validate import ParamValidator

    request = session.Session().get_service_model("ec2").operation_model("RunInstances").input_shape
    node_config = cluster["available_node_types"][name]["node_config"]
    report = ParamValidator().validate({**node_config, "MinCount": 1, "MaxCount": 1}, request)
    assert not report.has_errors(), report.generate_report()
    assert node_config["InstanceType"] in request.members["InstanceType"].enum
