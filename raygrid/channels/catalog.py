"""The built-in channels: parameters and entries. Declarations only: imports neither torch nor ray."""

from typing import Annotated

from pydantic import Field

from raygrid.channels.catalog_audio import COMPONENTS as AUDIO
from raygrid.component import Component, Params

Factor = Annotated[float, Field(ge=0, le=3)]
Share = Annotated[float, Field(ge=0, le=1)]


class View(Params):
    """How far apart two looks at one thing may lie. Every look draws anew; 0 turns a change off."""

    scale: Factor = 0.15
    """The thing appears larger or smaller by a factor of up to 1 + scale or its inverse, log-uniform: as if nearer or farther."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 8.0
    """Most degrees by which it turns in the image plane, either way; uniform."""
    tilt: Annotated[float, Field(ge=0, le=60)] = 15.0
    """Most degrees by which it turns out of the image plane, about the upright and about the level axis, with the
    foreshortening that a camera sees; uniform."""
    shift: Share = 0.05
    """Most that it moves along each axis, as a share of the shorter side; uniform."""
    blur: Annotated[float, Field(ge=0, le=20)] = 0.7
    """Largest standard deviation of the Gaussian blur, in pixels; uniform from 0."""
    gain: Factor = 0.25
    """Light: all values are multiplied by a factor of up to 1 + gain or down to its inverse, log-uniform."""
    contrast: Factor = 0.2
    """Distances from middle gray are multiplied likewise, before the gain."""
    brightness: Share = 0.1
    """Most that is added to or taken from all values, after the gain; uniform."""
    color: Factor = 0.08
    """Tint: every color channel is multiplied likewise by a factor of its own, the geometric mean of which is 1."""
    noise: Share = 0.02
    """Standard deviation of the Gaussian noise of the sensor, for every value on its own."""


VIEW = Component(
    kind="channel",
    name="view",
    summary="A camera's look at a printed or painted thing: distance, angle, blur, light, tint, noise.",
    params=View,
    build="raygrid.channels.view:view",
    source="Athalye et al., ICML 2018; Eykholt et al., CVPR 2018",
)

COMPONENTS: tuple[Component, ...] = (VIEW, *AUDIO)
