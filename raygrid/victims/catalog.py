"""The built-in victims. Declarations only: imports neither torch nor ray."""

from raygrid.victims import catalog_bring, catalog_builtin, catalog_faces, catalog_sound, catalog_speech

COMPONENTS = (
    *catalog_builtin.COMPONENTS,
    *catalog_faces.COMPONENTS,
    *catalog_speech.COMPONENTS,
    *catalog_sound.COMPONENTS,
    *catalog_bring.COMPONENTS,
)
