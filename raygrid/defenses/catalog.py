"""The built-in defenses. Declarations only: imports neither torch nor ray."""

from raygrid.component import Component
from raygrid.defenses import (
    catalog_noise,
    catalog_output,
    catalog_preprocess,
    catalog_smoothing,
    catalog_sound,
    catalog_views,
)

COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="defense",
        name="none",
        summary="The victim as it is.",
        build="raygrid.defenses.none:none",
    ),
    *catalog_noise.COMPONENTS,
    *catalog_preprocess.COMPONENTS,
    *catalog_sound.COMPONENTS,
    *catalog_views.COMPONENTS,
    *catalog_output.COMPONENTS,
    *catalog_smoothing.COMPONENTS,
)
