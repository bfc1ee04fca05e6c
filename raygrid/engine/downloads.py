"""A progress bar for assets that are being fetched."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from raygrid.assets import Asset, Report


@contextmanager
def download_report(console: Console) -> Iterator[Report]:
    """Yield what `raygrid.assets.fetch` wants as `report`. Shows nothing until something is fetched."""
    bars: dict[str, TaskID] = {}
    columns = (TextColumn("fetching {task.description}"), BarColumn(), DownloadColumn())
    progress = Progress(*columns, console=console, transient=console.is_terminal)
    with ExitStack() as shown:

        def report(asset: Asset, done: int) -> None:
            if not bars:
                shown.enter_context(progress)
            if asset.name not in bars:
                bars[asset.name] = progress.add_task(asset.name, total=asset.size)
            progress.update(bars[asset.name], completed=done)

        yield report
