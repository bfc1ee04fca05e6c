"""What is done to sound before a recognizer hears it: parameters and entries. Declarations only: imports neither torch nor ray."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from raygrid.component import Component, Params

NYQUIST = 8000.0


class BandFilter(Params):
    """Parameters of a filter that lets a band pass, or stops one."""

    low: Annotated[float, Field(ge=0, lt=NYQUIST)] = 0.0
    """Hz."""
    high: Annotated[float, Field(gt=0, le=NYQUIST)] = 4000.0
    """Hz."""
    stops: bool = False
    """Whether the band is stopped, and the rest passes."""
    order: Annotated[int, Field(ge=1, le=20)] = 4
    """Of the Butterworth response on either side: 6 dB an octave each. No frequency is delayed."""

    @model_validator(mode="after")
    def _band(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high: {self.low:g} and {self.high:g} Hz")
        return self


class LowerRate(Params):
    """Parameters of a lower sample rate."""

    rate: Annotated[int, Field(ge=1000, le=16_000, multiple_of=100)] = 8000
    """Hz to which sound is brought, and back: what lies above half of it is lost."""


class Quantized(Params):
    """Parameters of fewer levels."""

    bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Bits that each value is rounded to, evenly from -1 to 1."""


class MedianFilter(Params):
    """Parameters of the median filter."""

    size: Annotated[int, Field(ge=1, le=101)] = 3
    """Values in the window, an odd number; 1 changes nothing."""

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if self.size % 2 == 0:
            raise ValueError(f"size must be odd, so that a window has a middle, not {self.size}")
        return self


def _component(name: str, summary: str, params: type[Params], source: str) -> Component:
    build = f"raygrid.defenses.sound:{name.replace('-', '_')}"
    return Component(
        kind="defense", name=name, summary=summary, build=build, params=params, source=source, task="transcription"
    )


TRIED = "Yang et al., ICLR 2019, tried such on attacked speech"
COMPONENTS: tuple[Component, ...] = (
    _component("band-filter", "Sound: lets a band of frequencies pass, or stops one.", BandFilter, TRIED),
    _component("lower-rate", "Sound: to a lower sample rate and back.", LowerRate, TRIED),
    _component("quantized", "Sound: rounded to a few bits.", Quantized, TRIED),
    _component("median-filter", "Sound: each value becomes the median of its neighbors.", MedianFilter, TRIED),
)
