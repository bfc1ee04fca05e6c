"""`use: endpoint`: an HTTP endpoint that the auditor owns, asked for scores or labels. Standard library only."""

import io
import ipaddress
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import BaseHandler, HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

import numpy as np

from raygrid.errors import UsageError
from raygrid.victims.catalog_bring import EndpointParams
from raygrid.victims.info import VictimInfo
from raygrid.victims.query_only import query_info

if TYPE_CHECKING:
    from raygrid.victims.victim import Victim


def identify(params: EndpointParams, id: str) -> VictimInfo:  # noqa: A002 - the registry's signature
    """Say what the victim is, without asking it.

    Raises:
        UsageError: the url is none that may be used, or the contract cannot hold.
    """
    check_url(id, params.url)
    if not params.state:
        raise UsageError(f'victim "{id}": state: say which version of the model answers; results are kept under it')
    return query_info(id, params, arch="endpoint.remote", weights_sha256=f"remote:{params.state}", source=params.url)


def build(params: EndpointParams, info: VictimInfo) -> "Victim":
    """Return the victim; nothing is sent yet.

    Raises:
        UsageError: the environment variable of the headers is not set on this host.
    """
    from raygrid.victims.query_model import query_victim

    return query_victim(Endpoint(params, read_headers(info.id, params.headers_env)), params.returns, info)


class Endpoint:
    """Sends batches to a url and reads the answers. Holds the headers, which may be secret, and never shows them."""

    def __init__(self, params: EndpointParams, headers: dict[str, str]) -> None:
        self.params = params
        self._headers = headers | {"Content-Type": "application/x-npy", "Accept": "application/json"}
        self._opener = _opener(params.url)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the scores [B, classes] or labels [B] of pixels [B, C, H, W], in requests of at most `batch` samples.

        Raises:
            RuntimeError: the endpoint answered with an HTTP error, a redirect among them.
            ValueError: the answer is not the JSON that was agreed.
            OSError: no connection, or no answer in time.
        """
        size = self.params.batch
        return np.concatenate([self._ask(x[start : start + size]) for start in range(0, len(x), size)])

    def _ask(self, x: np.ndarray) -> np.ndarray:
        body = io.BytesIO()
        np.save(body, np.ascontiguousarray(x, dtype=np.float32), allow_pickle=False)
        request = Request(self.params.url, body.getvalue(), self._headers, method="POST")  # noqa: S310 - check_url allows http(s)
        try:
            with self._opener.open(request, timeout=self.params.timeout) as answer:
                content = answer.read()
        except HTTPError as error:
            # HTTPError holds an open socket and cannot travel between processes.
            raise RuntimeError(f"{self.params.url} answered {error.code} {error.reason}") from None
        return self._parse(content, len(x))

    def _parse(self, content: bytes, batch: int) -> np.ndarray:
        key = self.params.returns
        try:
            values = np.asarray(json.loads(content)[key])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f'{self.params.url} answered no JSON of the form {{"{key}": [...]}}: {error}') from error
        if values.shape[:1] != (batch,):
            raise ValueError(f"{self.params.url} answered {key} of the shape {list(values.shape)} for {batch} samples")
        return values


def check_url(victim: str, url: str) -> None:
    """Hold a url to https, or http on this machine.

    Raises:
        UsageError: another scheme, no host, or credentials in the url.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f'victim "{victim}": url: "{url}" is no url of the form https://host/path')
    if parts.scheme == "http" and not _is_loopback(url):
        raise UsageError(f'victim "{victim}": url: {url} would send the samples in the clear; use https://')
    if parts.username or parts.password:
        raise UsageError(
            f'victim "{victim}": url: no credentials in the url, it is stored; name a variable with headers_env'
        )


def read_headers(victim: str, variable: str | None) -> dict[str, str]:
    """Read `Name: value` lines from an environment variable.

    Raises:
        UsageError: the variable is not set here, or holds another form. Its contents are never told.
    """
    if variable is None:
        return {}
    lines = [line.strip() for line in os.environ.get(variable, "").splitlines() if line.strip()]
    if not lines:
        raise UsageError(f'victim "{victim}": headers_env: the variable {variable} is not set on this host')
    pairs = [line.partition(":") for line in lines]
    if not all(name.strip() and colon for name, colon, _ in pairs):
        raise UsageError(f'victim "{victim}": headers_env: {variable} must hold lines of the form "Name: value"')
    return {name.strip(): value.strip() for name, _, value in pairs}


class _NoRedirect(HTTPRedirectHandler):
    """Lets a redirect be the HTTP error that it is: samples and headers go where the job says and nowhere else."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _opener(url: str) -> OpenerDirector:
    direct: list[BaseHandler] = [ProxyHandler({})] if _is_loopback(url) else []
    return build_opener(_NoRedirect(), *direct)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
