"""`audio-folder`: recordings that a person brings, with a table of what is said."""

import csv
from pathlib import Path

from raygrid.data.audio import read_recording, to_table
from raygrid.data.catalog_audio import AudioFolderParams
from raygrid.data.dataset import Dataset
from raygrid.data.paths import existing_file, existing_folder
from raygrid.errors import UsageError, did_you_mean

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff"})


def audio_folder(params: AudioFolderParams, limit: int | None) -> Dataset:
    """Read the first `limit` files, in the order of the table or sorted. Ids are the paths below the folder: `ann/hello.wav`.

    Raises:
        UsageError: the folder or the table is missing or wrong, or a file of it cannot be used.
    """
    folder = existing_folder(params.path)
    rows = _from_table(folder, params.transcripts) if params.transcripts else _from_folder(folder)
    recordings = [
        read_recording(folder / row["id"], str(folder / row["id"]), rate=params.rate, mix=params.mix, **row)
        for row in rows[:limit]
    ]
    return Dataset(
        name=f"audio-folder:{folder.name}",
        table=to_table(recordings, params),
        classes=1,
        source=str(folder),
        notes=f"{params.rate} samples a second",
        extra={"sample_rate": params.rate},
    )


def audio_files(folder: Path) -> list[Path]:
    """Return the audio files of a folder and its sub-folders, sorted, without hidden ones."""
    return [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES and file.name[0] != "."]


def _from_folder(folder: Path) -> list[dict[str, str]]:
    return [{"id": file.relative_to(folder).as_posix()} for file in audio_files(folder)]


def _from_table(folder: Path, path: str) -> list[dict[str, str]]:
    """Return `id`, `transcript` and, where it is stated, `cluster` of every row."""
    table = existing_file(path, "transcripts")
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for column in ("file", "transcript"):
        if rows and column not in rows[0]:
            hint = did_you_mean(column, rows[0])
            raise UsageError(f'transcripts: "{table}" has no column `{column}`{hint}; its first line names the columns')
    found = []
    for number, row in enumerate(rows, 2):
        if not row["file"] or not (folder / row["file"]).is_file():
            raise UsageError(f'transcripts: "{table}", line {number}: there is no file "{row["file"]}" in "{folder}"')
        if not (row["transcript"] or "").strip():
            raise UsageError(
                f'transcripts: "{table}", line {number}: nothing is said in "{row["file"]}"; write it or drop the line'
            )
        cluster = {"cluster": row["cluster"]} if row.get("cluster") else {}
        found.append({"id": Path(row["file"]).as_posix(), "transcript": row["transcript"].strip(), **cluster})
    return found
