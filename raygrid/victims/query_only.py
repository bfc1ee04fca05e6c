"""Victims that give scores or labels and no gradient: a Python function here, an endpoint in `endpoint.py`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from raygrid.component import Access
from raygrid.victims import user_code
from raygrid.victims.bring_inputs import checked
from raygrid.victims.catalog_bring import CallableParams, QueryParams
from raygrid.victims.info import VictimInfo

if TYPE_CHECKING:
    import numpy as np

    from raygrid.victims.victim import Victim

ACCESS: dict[str, Access] = {"scores": "score", "labels": "decision"}


def identify(params: CallableParams, id: str) -> VictimInfo:  # noqa: A002 - the registry's signature
    """Say what the victim is without running its code.

    Raises:
        UsageError: no trust, no such code, or a contract that cannot hold.
    """
    code = user_code.find(id, params.target, params.trust)
    return query_info(id, params, arch=f"callable.{code.attribute}", code_sha256=code.sha256)


def build(params: CallableParams, info: VictimInfo) -> "Victim":
    """Import the function.

    Raises:
        UsageError: the code changed since the plan, failed, or holds no such function.
    """
    from raygrid.victims.query_model import query_victim

    code = user_code.unchanged(user_code.find(info.id, params.target, params.trust), info.code_sha256)
    ask: Callable[[np.ndarray], object] = user_code.load(code)
    return query_victim(ask, params.returns, info)


def query_info(
    id: str,  # noqa: A002 - the registry's word
    params: QueryParams,
    *,
    arch: str,
    weights_sha256: str = "",
    code_sha256: str = "",
    source: str = "",
) -> VictimInfo:
    """Return the facts of a victim that sees raw pixels and gives scores or labels.

    Raises:
        UsageError: a contract that cannot hold.
    """
    channels = params.input[0]
    return checked(
        VictimInfo(
            id=id,
            arch=arch,
            classes=params.classes,
            input_shape=params.input,
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
            weights_sha256=weights_sha256,
            code_sha256=code_sha256,
            access=ACCESS[params.returns],
            source=source,
        )
    )
