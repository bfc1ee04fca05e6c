"""What a job file may say around the parameters of components: fields of the job, of a grid and of each kind of use.

Error messages and the JSON Schema follow from these classes. A list where one value is expected is an axis of the grid,
except in fields marked `x-axis: false`; a field marked `x-planned` is named but not built yet, and any value but its
default is refused.
"""

from typing import Any, Literal

from pydantic import Field

from raygrid.component import Kind, Params
from raygrid.ensemble import Rule
from raygrid.spec import AttackerAccess, Awareness, Combine, GoalName, Perceptual, Precision


def _planned(what: str) -> dict[str, Any]:
    return {"x-planned": what}


_ONE: dict[str, Any] = {"x-axis": False}


class JobFields(Params):
    """The top of the file, less `grids`."""

    version: Literal[1] = Field(json_schema_extra=_ONE)
    """Version of the job format."""
    name: str | None = Field(default=None, pattern=r"^[\w.-]+$", json_schema_extra=_ONE)
    """Name of the job: letters, digits, `_`, `.` and `-`. Default: the name of the file."""
    seed: int = Field(default=0, ge=0)
    """Seed of every random number of the job."""
    results: str | None = Field(default=None, min_length=1, json_schema_extra=_ONE)
    """Folder or URI of the results. Default: `results/<name>`."""


class JudgeFields(Params):
    """How an example is judged."""

    draws: int | None = Field(default=None, ge=1, json_schema_extra=_ONE)
    """Fresh draws of the randomness of victim, defense and channel that judge each example and each clean input. Default: 20 for
    attacks through a channel and for defenses that draw at random, else 1."""
    broken_at: int | None = Field(default=None, ge=1, json_schema_extra=_ONE)
    """Draws that must be fooled for a sample to be broken. Default: more than half. Without `draws`, it is for attacks through a
    channel and for random defenses alone."""
    layers: bool = Field(default=False, json_schema_extra=_ONE)
    """Whether the distance between example and original is measured at every layer of the victim."""
    stored: bool | None = Field(default=None, json_schema_extra=_ONE)
    """Whether the copy that a file can hold (8-bit picture, 16-bit sound) is the one judged, each value rounded towards the clean
    input, which is then rounded to such a file, too. Off: the example as crafted decides, and `success_stored` says what became of
    the copy. Default: on where speech is transcribed, since a file is what gets played; else off."""
    far: float | None = Field(default=None, gt=0, lt=1, json_schema_extra=_ONE)
    """Where faces are verified: the false accept rate on calibration people that sets the threshold. Default: 0.01."""
    detector: bool = Field(default=False, json_schema_extra=_ONE)
    """Where faces are verified: whether MTCNN still finds the face in each example, as a system that looks for it has to
    (`face_found`); some 40 ms an example on one core."""


class SplitFields(Params):
    """How the samples are divided."""

    fit: int = Field(default=0, ge=0, json_schema_extra=_ONE)
    """Samples that are set apart for what has to be fitted (a universal perturbation, the noise scale of a layer, the threshold of
    a verification), and are not attacked. They are chosen by a hash of their names, whatever the limit; samples that belong
    together stay together. Default: none; where faces are verified, the photos of half of the people."""
    train: int = Field(default=0, ge=0, json_schema_extra=_ONE)
    """Where faces are verified: photos that are set apart at least, those of whole people, for victims that are trained on them
    (private-embedder); nobody of them sets a threshold or is attacked."""
    validate_: None = Field(
        default=None, alias="validate", json_schema_extra=_planned("samples that choose among fits")
    )
    """Samples that choose among fits."""
    judge: None = Field(default=None, json_schema_extra=_planned("samples that count; today: limit"))
    """Samples that count."""


class GridFields(Params):
    """A grid, less its data, victims, defenses, attacks and exclude."""

    splits: SplitFields = Field(default=SplitFields(), json_schema_extra=_ONE)
    """Which samples are fitted on, and which count."""
    channels: None = Field(default=None, json_schema_extra=_planned("rooms, views and other physical channels"))
    """Physical paths between the example and the victim."""
    costs: list[list[float]] | dict[str, dict[str, float]] | None = Field(default=None, json_schema_extra=_ONE)
    """What errors cost, for the view `risk`: a matrix of a row for each true class and a column for each answer, or a mapping such
    as `{stop: {speed-30: 100, yield: 20}}`. What is not said costs 1, and the right answer nothing."""
    judge: JudgeFields = Field(default=JudgeFields(), json_schema_extra=_ONE)
    """How examples are judged."""
    perceptual: tuple[Perceptual, ...] = ()
    """Perceptual distances to measure of every example besides those that are always there. Of pictures: `lpips`
    (AlexNet, of color pictures of 64 pixels a side or more), which costs about as much as 1.4 forward passes of EfficientNet-Lite0.
    Of speech: `stoi` and `pesq`, of the packages pystoi and pesq (raygrid[stoi], raygrid[pesq]; the latter is built from C)."""


class DataFields(Params):
    """What a job may say of any dataset."""

    limit: int | None = Field(default=None, ge=1, json_schema_extra=_ONE)
    """Take the first so many samples. Default: all."""
    shard: int | None = Field(default=None, ge=1, json_schema_extra=_ONE)
    """Samples that are attacked as one unit of work. Default: 128 where a sample has up to 12,288 values (64 x 64 pixels in color),
    else 32."""


class VictimFields(Params):
    """What a job may say of any victim."""

    id: str | None = Field(default=None, min_length=1, json_schema_extra=_ONE)
    """Name in tables, unique within the grid. Default: what `use` says; the values of its axes follow."""


class EnsembleFields(VictimFields):
    """What a job may say of an ensemble, besides its members."""

    rule: Rule = Field(default="mean", json_schema_extra=_ONE)
    """How the members answer together: by the mean of their probabilities, and of embedders of their cosines, where one whose
    cosines vary more counts for more; or, of embedders alone, `all`: two photos match only where every member says so, at one
    threshold in standard deviations of each member's impostors, so that `judge.far` is that of the whole."""


class DefenseFields(Params):
    """What a job may say of any defense: nothing yet but its parameters."""


class ChannelFields(Params):
    """What a job may say of any channel: nothing but its parameters."""


class BudgetFields(Params):
    """The most an attack may spend on one sample."""

    queries: int | None = Field(default=None, ge=1)
    """Forward passes, counting every draw of an expectation. Default: no limit."""
    gradients: int | None = Field(default=None, ge=1)
    """Backward passes. Default: no limit."""


class AttackFields(Params):
    """What a job may say of any attack, less `source` and `channel`."""

    norm: str | None = None
    """Norm of the ball that the perturbation stays in. Default: the first that the attack knows."""
    eps: float | None = Field(default=None, ge=0)
    """Radius of the ball in input units (pixels in [0, 1]); fractions such as 8/255 are numbers. An attack that knows norms needs
    it, one that knows none takes none."""
    goal: GoalName | None = None
    """What fooling means: any wrong answer, the class `target`, or a class drawn for each sample; where faces are verified, to be
    taken for another person (impersonate), or not to be known for oneself (dodge); where speech is transcribed, that a phrase is
    heard (transcribe), or not what is said (garble). Default: untargeted, impersonate, transcribe with a phrase and else garble."""
    target: int | None = Field(default=None, ge=0)
    """The class that `goal: targeted` asks for."""
    access: AttackerAccess | None = None
    """What the attacker may ask of the victim; `transfer`: nothing, examples are crafted on `source`.
    Default: what the attack needs."""
    budget: BudgetFields = BudgetFields()
    """The most the attack may spend on one sample."""
    phrase: str | None = Field(default=None, min_length=1)
    """What `goal: transcribe` wants to be heard."""
    photos: int = Field(default=1, ge=1)
    """Where faces are verified: how many photos of the person the attacker has. Others judge."""
    combine: Combine = "mean"
    """How these make one loss: their mean, the worst, which is farthest from the goal, or weighted, where those count more."""
    awareness: Awareness | None = None
    """What the attacker knows of, and averages over, while crafting: the channel, the defense, or all there is. What he does not
    know of is met by the finished example alone. Default: all."""
    eot: int | None = Field(default=None, ge=1)
    """Draws of the randomness of victim, defense and channel that each look of the attack averages over; each costs a pass.
    Default: 20 where the attacker knows of a defense that draws at random, else 1."""
    surrogate_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Under transfer: share of the values behind each convolution of `source` that is set to 0 while crafting, others at each look,
    so that an example has to work on many thinned copies of it (Zhong & Deng 2020)."""
    precision: Precision = "float32"
    """In what gradients are computed: float32, or mixed, which is 16 bits where that is safe, but for the last quarter of the
    steps: half again as fast on a GPU, no faster on most CPUs. What succeeds, or nearly so, is looked at in float32 while crafting,
    and judged in float32 either way."""
    ladder: bool = Field(default=True, json_schema_extra=_ONE)
    """Whether a success at a smaller eps of the grid counts at the larger ones, where it is judged again, and is not looked for
    anew. Not for transfer, nor for minimal-norm attacks, which look once for all eps."""


FIELDS: dict[Kind, type[Params]] = {
    "data": DataFields,
    "victim": VictimFields,
    "defense": DefenseFields,
    "attack": AttackFields,
    "channel": ChannelFields,
}

CHAIN = "chain"
"""The key of a mapping that composes a defense of a list of defenses, the first of which meets the input first."""
ENSEMBLE = "ensemble"
"""The key of a mapping that composes a victim of a list of victims, which answer together."""

EXCLUDE_KEYS = ("victim", "defense", "attack", "norm", "eps", "goal", "access", "source", "channel", "awareness")
"""What `exclude` can name besides the parameters of the grid's attacks."""
