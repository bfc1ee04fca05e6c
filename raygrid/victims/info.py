"""The facts about a victim that decide its results, without torch: what the driver plans with."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from raygrid.component import Access, Params, Task, resolve
from raygrid.errors import UsageError

Alone = Literal["cosine", "l2"]
"""How an embedder compares: by the cosine, or by minus the L2 distance."""
Similarity = Literal["cosine", "l2", "weakest"]
"""How a victim does: `weakest` is several embedders that must all agree, see similarity.py."""


@dataclass(frozen=True)
class VictimInfo:
    """Identity and input contract of a victim. All of it goes into the unit keys."""

    id: str
    """Name in tables: the victim's `id` in the job, or its registry name."""
    arch: str
    """`architecture.tag`, which separates the architecture from the weights: `efficientnet-lite0.tf-imagenet`."""
    classes: int
    """Number of classes: outputs are logits [B, classes]. Of a recognizer, tokens: log-probabilities [B, frames, classes]."""
    input_shape: tuple[int, int | None, int | None]
    """Channels, height, width. None where any size is taken (the victim resizes inside, differentiably)."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """The victim computes (x - mean) / std inside, per channel, on pixels x in [0, 1]."""
    weights_sha256: str
    code_sha256: str = ""
    """Of the user's file that builds the model; empty for built-in code."""
    task: Task = "classification"
    """`verification`: `classes` is the size of its embeddings."""
    similarity: Similarity = "cosine"
    """Of embeddings, where faces are verified."""
    access: Access = "gradient"
    """The most an attack may ask."""
    resize: str = ""
    """How sizes other than the native one are brought to it, inside the victim."""
    native: int = 0
    """The native height and width, in pixels, where any size is taken; else 0."""
    sample_rate: int = 0
    """Of a victim that hears: samples a second of its waveforms [B, T] in [-1, 1]; `input_shape` is (1, None, None) then. 0: it
    does not."""
    license: str = ""
    source: str = ""
    members: tuple["VictimInfo", ...] = ()
    """Of an ensemble: what each member is."""

    def facts(self) -> dict[str, Any]:
        """Everything, as plain JSON values, for keys and manifests; `members` of an ensemble only."""
        aside = {
            "members",
            "native",  # `resize` says it
            *(() if self.task == "verification" else ("similarity",)),
            *(() if self.sample_rate else ("sample_rate",)),
        }
        facts = {name: value for name, value in asdict(self).items() if name not in aside}
        return {**facts, "members": [member.facts() for member in self.members]} if self.members else facts

    @property
    def weights(self) -> tuple[str, ...]:
        """The sha256 of every file of weights."""
        return tuple(sha256 for member in self.members for sha256 in member.weights) or (self.weights_sha256,)


def identified(name: str, identify: str | None, params: Params, id: str) -> VictimInfo:  # noqa: A002 - the field's name
    """Return what a victim of these parameters is, as its component's `identify` says.

    Raises:
        UsageError: the component has none, or the victim can't be what it is said to be.
    """
    if identify is None:
        raise UsageError(f'victim "{name}" does not say what it is: its registration lacks `identify`')
    info: VictimInfo = resolve(identify)(params, id)
    return info
