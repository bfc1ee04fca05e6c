import re
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from bringing import bring, build, identify, pixels
from torch.nn.functional import interpolate
from torchvision import models

from raygrid.errors import UsageError

SQUEEZENET = "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth"


def save(path: Path, classes: int = 5) -> models.SqueezeNet:
    model = models.squeezenet1_1(weights=None, num_classes=classes).eval()
    torch.save(model.state_dict(), path)
    return model


@pytest.fixture
def download(tmp_path, monkeypatch):
    """A stand-in for the network, which serves one state dict for any url and keeps the urls."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    asked: list[str] = []

    def serve(url, file, hash_prefix, progress):
        asked.append(url)
        save(Path(file), 1000)
        assert (hash_prefix, progress) == ("b8a52dc0", False)

    monkeypatch.setattr(torch.hub, "download_url_to_file", serve)
    return asked


def test_a_file_gives_the_model_that_was_saved_at_its_native_size_and_others(tmp_path):
    model = save(tmp_path / "w.pth")
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    victim = bring(
        "torchvision",
        name="squeezenet1_1",
        weights=str(tmp_path / "w.pth"),
        classes=5,
        input=[3, 64, 64],
        mean=mean,
        std=std,
    )
    x = pixels(2, 3, 64, 64)
    normalized = (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.equal(victim(x), model(normalized))
    large = pixels(1, 3, 90, 80)
    small = interpolate(large, (64, 64), mode="bilinear", antialias=True)
    assert torch.allclose(victim(large), victim(small), atol=1e-5)
    assert victim.info.input_shape == (3, None, None)


def test_published_weights_are_fetched_and_bring_their_own_contract(download):
    info = identify("torchvision", name="squeezenet1_1")
    assert download == [SQUEEZENET]
    assert (info.arch, info.classes, info.mean[0], info.std[0]) == ("squeezenet1_1.IMAGENET1K_V1", 1000, 0.485, 0.229)
    assert info.resize.startswith("bilinear, antialiased, to 224x224")
    assert re.fullmatch("[0-9a-f]{64}", info.weights_sha256)


def test_a_damaged_file_in_the_cache_is_fetched_again(download, tmp_path):
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / Path(SQUEEZENET).name).write_text("<html>")
    identify("torchvision", name="squeezenet1_1")
    assert download == [SQUEEZENET]


def test_models_that_center_inside_are_centered_by_the_victim(monkeypatch):
    from raygrid.victims.bring_torchvision import find_weights

    weights = find_weights("mine", "inception_v3", "DEFAULT")
    assert (weights.mean, weights.std, weights.input) == ((0.5,) * 3, (0.5,) * 3, (3, 299, 299))


def test_offline_the_message_names_the_file_and_the_way_around(monkeypatch, tmp_path):
    def fail(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(UsageError) as refused:
        identify("torchvision", name="squeezenet1_1")
    assert refused.value.messages == (
        f'victim "mine": weights: cannot fetch {SQUEEZENET}: <urlopen error no network>\n'
        "  Offline? Copy squeezenet1_1-b8a52dc0.pth to this machine and say {use: torchvision, name: squeezenet1_1, "
        "weights: path/to/squeezenet1_1-b8a52dc0.pth, input: [3, 224, 224], mean: [0.485, 0.456, 0.406], "
        "std: [0.229, 0.224, 0.225]}",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"name": "resnet81"}, 'name: torchvision has no classifier "resnet81"; did you mean "resnet18"?'),
        ({"name": "resnet18", "weights": "IMAGENET"}, 'weights: resnet18 has no published weights "IMAGENET"; choose '),
        ({"name": "resnet18", "weights": "w/none.pth"}, "weights: no file "),
        ({"name": "resnet18", "classes": 10}, "classes: published weights have their own"),
        ({"name": "resnet18", "weights": __file__, "sha256": "0" * 64}, "sha256: "),
        ({"name": "resnet18", "weights": f"/{__file__}", "input": [3, 8, 9]}, "input: images are resized to a square"),
    ],
)
def test_words_that_fit_nothing_are_refused(words, message):
    with pytest.raises(UsageError, match=re.escape(f'victim "mine": {message}')):
        identify("torchvision", **words)


def test_weights_that_changed_since_the_plan_are_refused(tmp_path):
    words = {"name": "squeezenet1_1", "weights": str(tmp_path / "w.pth"), "classes": 5}
    save(tmp_path / "w.pth")
    info = identify("torchvision", **words)
    save(tmp_path / "w.pth")
    assert identify("torchvision", **words).weights_sha256 != info.weights_sha256
    with pytest.raises(UsageError, match=info.weights_sha256):
        build("torchvision", info, **words)


OLD_NAMES = {
    "mnasnet0_5": lambda name: name,  # asks for a version that a plain mapping lacks
    "densenet121": lambda name: re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name),
    "mobilenet_v2": lambda name: name,  # has layers called conv.1 that must keep their names
}


@pytest.mark.parametrize("name", OLD_NAMES)
def test_files_of_older_versions_load(name, tmp_path):
    model = models.get_model(name, weights=None).eval()
    state = {OLD_NAMES[name](key): value for key, value in model.state_dict().items() if "num_batches" not in key}
    torch.save(state, tmp_path / "w.pth")
    victim = bring(
        "torchvision", name=name, weights=str(tmp_path / "w.pth"), input=[3, 32, 32], mean=[0] * 3, std=[1] * 3
    )
    x = pixels(1, 3, 32, 32)
    assert torch.equal(victim(x), model(x))


def test_a_file_of_another_model_is_refused(tmp_path):
    save(tmp_path / "w.pth", classes=7)
    with pytest.raises(UsageError, match='do not fit victim "mine": 2 of another shape'):
        bring("torchvision", name="squeezenet1_1", weights=str(tmp_path / "w.pth"), classes=5)
