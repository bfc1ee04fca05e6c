"""Recognizers that torchaudio builds, wav2vec 2.0 (Baevski et al. 2020) and HuBERT (Hsu et al. 2021), with weights in a file.

Built and computed by torchaudio's own modules, here in named stages, with one difference: what a bundle normalizes, torchaudio
normalizes over the whole batch, which is for single clips, and this does clip by clip.
"""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.nn.utils.parametrize import remove_parametrizations

from raygrid.victims.catalog_speech import Wav2Vec2Params
from raygrid.victims.info import VictimInfo
from raygrid.victims.loading import load_into, load_tensors
from raygrid.victims.recognizer import Recognizer
from raygrid.victims.wav2vec2_text import SHORTEST, characters

POSITION = "encoder.transformer.pos_conv_embed.conv"
RENAMED = {
    f"{POSITION}.weight_g": f"{POSITION}.parametrizations.weight.original0",
    f"{POSITION}.weight_v": f"{POSITION}.parametrizations.weight.original1",
}
"""The norm and the direction of weights, as torch called them when the files were written, and as it does now."""


class Normalized(nn.Module):
    """Waveforms [B, T] to such of mean 0 and variance 1, each by itself."""

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        return F.layer_norm(x, x.shape[-1:])


class First(nn.Module):
    """The first of what a module returns of values and a mask of theirs, without one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        values: Tensor = self.module(x, None)[0]
        return values


class Position(nn.Module):
    """Values [B, F, D] with what tells their positions added."""

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.embed = embed

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        embedded: Tensor = self.embed(x)
        return x + embedded


def build(params: Wav2Vec2Params, info: VictimInfo) -> Recognizer:
    """Build the bundle's model and load its weights, which must be those that `identify` hashed.

    Raises:
        UsageError: the file changed or does not fit the bundle.
    """
    bundle = getattr(torchaudio.pipelines, params.bundle)
    model = torchaudio.models.wav2vec2_model(**bundle._params)
    tensors = load_tensors(Path(params.path), info.weights_sha256)
    load_into(model, as_built(tensors, bundle._remove_aux_axis, info.classes), info.id)
    return Recognizer(stages(model, normalized=bundle._normalize_waveform), info, characters(), SHORTEST)


def as_built(tensors: dict[str, Tensor], unused: tuple[int, ...], classes: int) -> dict[str, Tensor]:
    """Return the tensors of a file under the model's names, without the rows of the last layer that stand for no token.

    A state dict of `get_model()` lacks these rows already, and stays as it is.
    """
    found = {RENAMED.get(name, name): values for name, values in tensors.items()}
    for name in ("aux.weight", "aux.bias"):
        rows = found[name].shape[:1] if name in found else ()
        if rows == (classes + len(unused),):
            found[name] = found[name][[row for row in range(rows[0]) if row not in unused]]
    return found


def stages(model: Any, *, normalized: bool) -> nn.Sequential:
    """Return torchaudio's model as a chain: waveforms [B, T] at 16 kHz to log-probabilities [B, (T - 400) // 320 + 1, tokens]."""
    transformer = model.encoder.transformer
    remove_parametrizations(transformer.pos_conv_embed.conv, "weight")  # a product that never changes again
    norm = {"norm": transformer.layer_norm}
    chain: OrderedDict[str, nn.Module] = OrderedDict({"normalize": Normalized()} if normalized else {})
    chain["convolutions"] = First(model.feature_extractor)
    chain["project"] = model.encoder.feature_projection
    chain["position"] = Position(transformer.pos_conv_embed)
    chain.update(norm if transformer.layer_norm_first else {})
    chain.update({f"attention{place}": First(layer) for place, layer in enumerate(transformer.layers)})
    chain.update({} if transformer.layer_norm_first else norm)
    chain["output"] = nn.Sequential(OrderedDict(letters=model.aux, log_softmax=nn.LogSoftmax(dim=-1)))
    return nn.Sequential(chain)
