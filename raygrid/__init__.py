"""raygrid: how robust are these models, really?

`raygrid.attack(victim, x, y, "pgd", eps=8/255)` attacks a model in a notebook; `raygrid.open_results(path)` reads what
`raygrid run` wrote. Both import what they need when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raygrid.notebook import Attacked, attack
    from raygrid.results.open import Results, open_results

__all__ = ["Attacked", "Results", "attack", "open_results"]

_HOME = {
    "attack": "raygrid.notebook",
    "Attacked": "raygrid.notebook",
    "open_results": "raygrid.results.open",
    "Results": "raygrid.results.open",
}


def __getattr__(name: str) -> Any:
    """Import the public names on first use: `import raygrid` alone costs neither torch nor pyarrow."""
    if name not in _HOME:
        raise AttributeError(f"module 'raygrid' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
