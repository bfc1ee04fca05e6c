"""The built-in attacks, family by family. Declarations only: imports neither torch nor ray."""

from raygrid.attacks import (
    catalog_audio,
    catalog_corruption,
    catalog_feature_space,
    catalog_gradient,
    catalog_minimal_norm,
    catalog_noise,
    catalog_patch,
    catalog_query,
    catalog_suites,
    catalog_universal,
)

COMPONENTS = (
    *catalog_gradient.COMPONENTS,
    *catalog_noise.COMPONENTS,
    *catalog_query.COMPONENTS,
    *catalog_minimal_norm.COMPONENTS,
    *catalog_suites.COMPONENTS,
    *catalog_corruption.COMPONENTS,
    *catalog_patch.COMPONENTS,
    *catalog_feature_space.COMPONENTS,
    *catalog_universal.COMPONENTS,
    *catalog_audio.COMPONENTS,
)
