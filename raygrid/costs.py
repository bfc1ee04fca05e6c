"""What errors cost: which answer to which class is how bad, as a grid says it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from raygrid.errors import UsageError, did_you_mean

Costs = Sequence[Sequence[float]] | Mapping[str, Mapping[str, float]]
"""A matrix of a row for each true class and a column for each answer, or some costs: true class -> answer -> cost."""


class Cost(NamedTuple):
    """The cost of one kind of answer; what is not said costs 1, and the right answer 0."""

    label: str
    """Number of the true class, as tables hold it."""
    prediction: str
    """Number of the answer."""
    cost: float


def read_costs(where: str, said: Costs, classes: int, names: Sequence[str]) -> list[Cost]:
    """Return the costs that a grid says.

    Args:
        where: the field, for messages.
        said: a matrix, or a mapping of names or numbers of classes.
        classes: how many there are.
        names: of the classes, if they have names.

    Raises:
        UsageError: a matrix of another shape, an unknown class, or a cost below 0 or of a right answer; all at once.
    """
    known = {**{str(i): i for i in range(classes)}, **{name: i for i, name in enumerate(names)}}
    wrong = list(_mistakes(said, classes, known))
    if wrong:
        raise UsageError(*(f"{where}: {message}" for message in wrong))
    if isinstance(said, Mapping):
        rows = [(known[label], known[answer], cost) for label, row in said.items() for answer, cost in row.items()]
    else:
        rows = [(i, j, cost) for i, row in enumerate(said) for j, cost in enumerate(row) if i != j]
    return [Cost(str(label), str(answer), float(cost)) for label, answer, cost in rows]


def _mistakes(said: Costs, classes: int, known: Mapping[str, int]) -> Iterator[str]:
    if not isinstance(said, Mapping):
        sizes = {len(row) for row in said}
        if len(said) != classes or sizes != {classes}:
            shape = f"{len(said)}x{'/'.join(map(str, sorted(sizes)))}"
            yield f"the matrix is {shape}, and the data has {classes} classes: give a row a true class and a column an answer"
            return
        for i, row in enumerate(said):
            yield from (f"the cost of {j} for {i} is below 0" for j, cost in enumerate(row) if cost < 0)
            if row[i] != 0:
                yield f"the right answer to class {i} costs {row[i]:g}; it must cost 0"
        return
    for label, answers in said.items():
        for name in (label, *answers):
            if name not in known:
                yield f'the data has no class "{name}"{did_you_mean(name, known)}'
        for answer, cost in answers.items():
            if cost < 0:
                yield f"the cost of {answer} for {label} is below 0"
            if known.get(label) == known.get(answer) and label in known and cost != 0:
                yield f"the right answer to class {label} costs {cost:g}; it must cost 0"
