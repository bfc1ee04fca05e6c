"""The built-in channels. Declarations only: imports neither torch nor ray."""

from raygrid.component import Component

COMPONENTS: tuple[Component, ...] = ()
