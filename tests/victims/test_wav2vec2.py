"""The recognizers of torchaudio from a user's file: small random weights, in files as the published ones are written. Those
themselves are not at hand here."""

import json
from typing import get_args

import pytest
import torch
import torchaudio
from bringing import bring, identify
from torchaudio.pipelines._wav2vec2 import utils

from raygrid.engine.in_process import InProcess
from raygrid.engine.inputs import read_inputs
from raygrid.engine.run import run
from raygrid.errors import UsageError
from raygrid.job import load_job
from raygrid.results.open import open_results
from raygrid.transcription import Hearing, ear_of
from raygrid.victims.catalog_speech import BUNDLES, Bundle
from raygrid.victims.check import check_victim
from raygrid.victims.wav2vec2 import RENAMED
from raygrid.victims.wav2vec2_text import TOKENS, characters

BASE, NORMALIZED = "WAV2VEC2_ASR_BASE_960H", "HUBERT_ASR_LARGE"
SMALL = {
    "extractor_conv_layer_config": [(16, 10, 5), *[(16, 3, 2)] * 4, *[(16, 2, 2)] * 2],
    "encoder_embed_dim": 32,
    "encoder_pos_conv_kernel": 8,
    "encoder_pos_conv_groups": 4,
    "encoder_num_layers": 2,
    "encoder_num_heads": 2,
    "encoder_ff_interm_features": 48,
}


@pytest.fixture
def small(monkeypatch):
    """The two architectures with few and narrow layers."""
    for name in (BASE, NORMALIZED):
        bundle = getattr(torchaudio.pipelines, name)
        monkeypatch.setattr(bundle, "_params", {**bundle._params, **SMALL})


@pytest.fixture
def files(small, tmp_path):
    return {name: written(tmp_path / BUNDLES[name], name) for name in (BASE, NORMALIZED)}


def written(path, name, seed=0):
    """Write a checkpoint as those on the net are: the old names, and rows of no letter in the last layer."""
    torch.manual_seed(seed)
    bundle = getattr(torchaudio.pipelines, name)
    model = utils._get_model(bundle._model_type, {**bundle._params, "aux_num_out": 32})
    torch.nn.init.normal_(model.aux.weight, std=0.3)
    old = {new: old for old, new in RENAMED.items()}
    torch.save({old.get(name, name): values for name, values in model.state_dict().items()}, path)
    return path


def theirs(name, path):
    """The model as `get_model()` builds it of a file."""
    bundle = getattr(torchaudio.pipelines, name)
    model = utils._get_model(bundle._model_type, bundle._params)
    tensors = torch.load(path, weights_only=True)
    utils._remove_aux_axes(tensors, bundle._remove_aux_axis)
    model.load_state_dict(tensors)
    return utils._extend_model(model, bundle._normalize_waveform, apply_log_softmax=True).eval()


def noise(clips=2, samples=8000):
    return 0.1 * torch.randn(clips, samples, generator=torch.Generator().manual_seed(1))


def test_the_bundles_are_those_of_torchaudio_that_write_these_letters():
    found = {name: getattr(torchaudio.pipelines, name) for name in dir(torchaudio.pipelines)}
    found = {
        name: bundle for name, bundle in found.items() if isinstance(bundle, torchaudio.pipelines.Wav2Vec2ASRBundle)
    }
    alike = {name: bundle._path for name, bundle in found.items() if bundle.get_labels() == TOKENS}
    assert alike == BUNDLES and set(get_args(Bundle)) == set(BUNDLES)
    for bundle in (found[name] for name in BUNDLES):
        layers = bundle._params["extractor_conv_layer_config"]
        assert (bundle.sample_rate, bundle._params["aux_num_out"], bundle._model_type) == (16_000, 29, "Wav2Vec2")
        assert [layer[1:] for layer in layers] == [layer[1:] for layer in SMALL["extractor_conv_layer_config"]]


@pytest.mark.parametrize("name", [BASE, NORMALIZED])
def test_it_says_what_torchaudio_says_of_each_clip(files, name):
    victim, model, x = bring("wav2vec2", path=str(files[name]), bundle=name), theirs(name, files[name]), noise()
    with torch.no_grad():
        each = torch.cat([model(clip[None])[0] for clip in x])
    assert torch.allclose(victim(x), each, atol=1e-5) and torch.equal(victim(x[:1]), each[:1])
    assert victim(x).shape == (2, (8000 - 400) // 320 + 1, victim.info.classes)


@pytest.mark.parametrize("name", [BASE, NORMALIZED])
def test_it_passes_the_preflight_and_is_frozen_and_cut_into_layers(files, name):
    victim, x = bring("wav2vec2", path=str(files[name]), bundle=name), noise()
    assert check_victim(victim, x, torch.zeros(2).long(), 1) == []
    assert not any(parameter.requires_grad for parameter in victim.parameters())
    assert not any(module.training for module in victim.train().modules())
    for layer in ("convolutions", "position", "attention1", "norm"):
        assert torch.equal(victim.resume(victim.features(x, layer), layer), victim(x))
    assert torch.isfinite(victim.mixed(x)).all()


def test_a_state_dict_of_torchaudios_model_itself_is_taken_too(files, tmp_path):
    again = tmp_path / "again.pth"
    torch.save(theirs(BASE, files[BASE]).model.state_dict(), again)
    one, other = (bring("wav2vec2", path=str(path)) for path in (files[BASE], again))
    assert torch.equal(one(noise()), other(noise())) and one.info != other.info


def test_a_path_of_frames_is_read_as_its_letters(files):
    victim = bring("wav2vec2", path=str(files[BASE]))
    ear = ear_of(victim)
    outputs = torch.full((1, 12, 29), -9.0)
    outputs[0, torch.arange(12), [TOKENS.index(sign) for sign in "--HEEL-LO|IT"]] = 0.0
    (heard,) = ear.heard(outputs)
    assert heard == ear.spell("hello it") and ear.shown(heard) == "HELLO IT"
    assert ear.words(heard) == [tuple("HELLO"), tuple("IT")] and ear.phonemes(heard) is None


def test_the_shortest_clip_for_a_phrase_has_just_the_frames_that_it_needs(files):
    victim, tokens = bring("wav2vec2", path=str(files[BASE])), characters().spell("call")
    needed = characters().samples(tokens)
    assert victim(noise(1, needed)).shape[1] == 5 and victim(noise(1, needed - 1)).shape[1] == 4
    with pytest.raises(UsageError, match="at least 400 samples"):
        victim(noise(1, 399))


@pytest.mark.parametrize(
    ("phrase", "message"),
    [("call 911", "write numbers as words"), ("café", "writes no 'é'"), ("a|b", "writes no"), ("?!", "nothing to say")],
)
def test_what_has_no_letters_is_a_message(phrase, message):
    with pytest.raises(UsageError, match=message):
        characters().spell(phrase)
    assert characters().written(characters().spell("It’s on-line, now!")) == "IT'S ON LINE NOW"


def test_steps_down_the_gradient_bring_the_phrase_nearer(files):
    victim, x = bring("wav2vec2", path=str(files[BASE])), noise()
    ear = ear_of(victim)
    hearing = Hearing(ear, [ear.spell("open the door")] * 2, [None] * 2, garbles=False)
    losses, z = [], x
    for _ in range(5):
        z = z.detach().requires_grad_()
        lead = hearing(victim(z), torch.arange(2))[:, 1]
        losses.append(-lead.detach())
        z = z + 0.002 * torch.autograd.grad(lead.sum(), z)[0].sign()
    assert (losses[-1] < losses[0]).all()


def test_a_job_plans_by_what_the_file_holds_and_runs(files, tmp_path):
    data = {"use": "music-carriers", "seconds": 0.5, "limit": 1, "shard": 1}
    attack = {"use": "pgd", "norm": "linf", "eps": 0.02, "steps": 2, "phrase": "go on"}

    def planned(path):
        victim = {"use": "wav2vec2", "id": "mine", "path": str(path)}
        grid = {"data": data, "victims": [victim], "attacks": [attack]}
        file = tmp_path / "job.yaml"
        file.write_text(json.dumps({"version": 1, "results": str(tmp_path / "results"), "grids": {"a": grid}}))
        job = load_job(file)
        return job, set(read_inputs(job).plan.crafts)

    job, keys = planned(files[BASE])
    assert planned(files[BASE].rename(tmp_path / "moved.pth"))[1] == keys
    assert planned(written(tmp_path / "other.pth", BASE, seed=1))[1] != keys
    job, _ = planned(tmp_path / "moved.pth")
    assert run(job, read_inputs(job), lambda tasks: InProcess(job.results)).state == "complete"
    (row,) = open_results(job.results).arrow().to_pylist()
    assert (row["goal"], row["phrase"]) == ("transcribe", "go on") and row["status"] in {"broken", "robust"}


def test_a_wrong_file_is_refused_in_the_plan(files, tmp_path):
    whole = files[BASE].read_bytes()
    wrong = {
        "missing": (None, "is no file on this machine"),
        "empty": (b"", "is empty"),
        "page": (b"<html>", "is a web page"),
        "text": (b"hello", "is no checkpoint of PyTorch"),
        "truncated": (whole[: len(whole) // 2], "is truncated or damaged"),
    }
    for name, (content, message) in wrong.items():
        path = tmp_path / f"{name}.pth"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UsageError, match=f"{message}.*WAV2VEC2_ASR_BASE_960H.get_model"):
            identify("wav2vec2", path=str(path))
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    with pytest.raises(UsageError, match="so is not of a bundle that writes text"):
        identify("wav2vec2", path=str(tmp_path / "resnet.pth"))
    with pytest.raises(UsageError, match=r"sha256: .* not 0000"):
        identify("wav2vec2", path=str(files[BASE]), sha256="0" * 64)


def test_the_file_of_another_bundle_does_not_fit(files):
    with pytest.raises(UsageError, match='do not fit victim "mine"'):
        bring("wav2vec2", path=str(files[NORMALIZED]), bundle=BASE)
