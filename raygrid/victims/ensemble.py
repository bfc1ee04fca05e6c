"""What an ensemble is, by what its members are. Imports neither torch nor ray."""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from raygrid.component import ACCESS_ORDER
from raygrid.ensemble import JOINED, Ensemble
from raygrid.errors import UsageError
from raygrid.keys import canonical
from raygrid.victims.info import Similarity, VictimInfo, identified

Shape = tuple[int, int | None, int | None]


def identify(params: Ensemble, id: str) -> VictimInfo:  # noqa: A002 - the registry's signature
    """Say what an ensemble is: it takes what all of its members take, and may be asked what all of them may be asked.

    One of embedders embeds, too: their embeddings stand side by side. Of the `mean` each has length 1, so that the cosine of two
    such vectors is the mean of the members' cosines; where `all` must agree, each is compared as its member compares.

    Raises:
        UsageError: a member can't be identified, or they don't go together; the message says why.
    """
    members = tuple(identified(m.use, m.identify, m.params, m.id) for m in params.members)
    problems = _different_tasks(members, params) or [*_different_classes(members), *_different_inputs(members)]
    if problems:
        raise UsageError(*(f'victim "{id}": ensemble: {problem}' for problem in problems))
    channels = members[0].input_shape[0]
    height, width = (next((m.input_shape[i] for m in members if m.input_shape[i]), None) for i in (1, 2))
    embeds, every = members[0].task == "verification", params.rule == "all"
    similarity: Similarity = "weakest" if every else "cosine"
    return VictimInfo(
        id=id,
        arch=JOINED[params.rule].join(m.arch for m in members),
        classes=sum(m.classes for m in members) if embeds else members[0].classes,
        input_shape=(channels, height, width),
        mean=(0.0,) * channels,  # each member has its own normalization
        std=(1.0,) * channels,
        weights_sha256=sha256(canonical([m.facts() for m in members]).encode()).hexdigest(),
        task=members[0].task,
        similarity=similarity,
        access=min((m.access for m in members), key=ACCESS_ORDER.index),
        resize=_joined(f"{m.id}: {m.resize}" for m in members if m.resize),
        native=max(m.native for m in members),
        license=_joined(m.license for m in members),
        source=_joined(m.source for m in members),
        members=members,
    )


def _different_tasks(members: Sequence[VictimInfo], params: Ensemble) -> list[str]:
    if len({m.task for m in members}) > 1:
        return [f"its members do different things: {_each(members, lambda m: m.task)}"]
    if members[0].task == "transcription":
        return ["its members write down what they hear, and texts have no mean"]
    if any(m.sample_rate for m in members):
        return ["some of its members hear, and ensembles are of victims that see"]
    if params.rule == "all" and members[0].task != "verification":
        return [
            'rule "all" is for embedders, each of which finds a match or none; victims that name classes answer by the mean'
        ]
    return []


def _different_classes(members: Sequence[VictimInfo]) -> list[str]:
    if members[0].task == "verification" or len({m.classes for m in members}) == 1:
        return []
    return [f"its members have different numbers of classes: {_each(members, lambda m: str(m.classes))}"]


def _different_inputs(members: Iterable[VictimInfo]) -> list[str]:
    sizes = zip(*(m.input_shape for m in members), strict=True)
    if all(len(set(size) - {None}) <= 1 for size in sizes):
        return []
    return [f"its members take different inputs: {_each(members, lambda m: _shown(m.input_shape))}"]


def _each(members: Iterable[VictimInfo], fact: Callable[[VictimInfo], str]) -> str:
    return ", ".join(f"{m.id} {fact(m)}" for m in members)


def _shown(shape: Shape) -> str:
    return "x".join("any" if size is None else str(size) for size in shape)


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))
