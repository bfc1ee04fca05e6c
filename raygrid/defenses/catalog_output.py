"""What of its answers a victim tells: parameters and entry. Declarations only: imports neither torch nor ray."""

from pydantic import Field, model_validator

from raygrid.component import ACCESS_ORDER, Access, Component, Params


class OutputPolicy(Params):
    """Parameters of an output policy, in the order in which they act."""

    temperature: float = Field(1.0, gt=0)
    """Logits are divided by it: above 1, all classes look more alike. 1 changes nothing."""
    top: int | None = Field(None, ge=1)
    """Tell so many of the largest probabilities; of the others, the mean. Default: all."""
    step: float | None = Field(None, gt=0, le=0.5)
    """Round probabilities to multiples of this, such as 0.01. Default: not."""
    label_only: bool = False
    """Tell the class alone."""

    def reads_classes(self) -> bool:
        """Always."""
        return True

    def leaves(self, most: Access) -> Access:
        """Return the most that may be asked: of labels, decisions."""
        return min(most, "decision", key=ACCESS_ORDER.index) if self.label_only else most

    @model_validator(mode="after")
    def _one_way(self) -> "OutputPolicy":
        if self.label_only and (self.temperature, self.top, self.step) != (1.0, None, None):
            raise ValueError("label_only tells no scores that temperature, top or step could change; leave them out")
        return self


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="defense",
        name="output-policy",
        summary="Scores told coarsely, of the top classes, at another temperature, or no more than the label.",
        build="raygrid.defenses.output_policy:Discreet",
        params=OutputPolicy,
        source="Fredrikson et al., CCS 2015 (rounding); Tramèr et al., USENIX Security 2016 (labels)",
    ),
)
