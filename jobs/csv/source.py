"""A CSV file with what was detected in it, and its records as batches. All of this blocks, so it runs in a thread."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from jobs.csv.args import ImportCsvArgs
from jobs.csv.columns import Column, column_number, folded
from jobs.csv.encoding import Encoding, encoding_of
from jobs.csv.layout import Layout, layout_of, rows_of
from jobs.csv.lines import UNREADABLE, FileUnreadable, Lines
from jobs.csv.plan import Plan, plan_of
from jobs.csv.records import Records
from jobs.csv.targets import Batch
from jobs.kit.outcomes import Discard

_SAMPLE_CHARACTERS = 256 * 1024
_REPLACEMENT = "\ufffd"
# What may change during an import: how many rows are taken at a time, and when it gives up.
_MAY_CHANGE = {"batch_size", "max_errors"}


class ImportChanged(Discard):
    """The job began with another file or other args: rows could be left out or come twice."""


@dataclass(frozen=True, slots=True)
class Form:
    """What the first attempt of an import records, so that all attempts read the same records.

    `is_encoding_guessed` is None for an import that began before this was recorded.
    """

    args: str
    sha256: str
    layout: Layout
    is_encoding_guessed: bool | None = None

    def written(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, written: str) -> "Form":
        said = json.loads(written)
        return cls(said["args"], said["sha256"], Layout(**said["layout"]), said.get("is_encoding_guessed"))


class Source:
    """The records of a file, from any record on."""

    def __init__(self, file: BinaryIO, form: Form, plan: Plan, headers: Sequence[str]) -> None:
        self.layout = layout = form.layout
        self.is_encoding_guessed = form.is_encoding_guessed
        self._records = Records(file, layout)
        self.plan = plan
        self.headers = headers
        self._at = 0
        if layout.has_header:
            self._records.take(1)

    @property
    def bytes_read(self) -> int:
        return self._records.bytes_read

    def next(self, most: int, first: int) -> Batch | None:
        """Return the next batch, which begins with the record `first`, from 0; None after the last one."""
        if self._at < first and self._records.skip(first - self._at) < first - self._at:
            raise ImportChanged("The file has fewer records than the import has already taken.")
        taken = self._records.take(most)
        self._at = first + taken.count
        if not taken.count:
            return None
        return self.plan.batch(taken, first, has_odd_characters=self._records.has_odd_characters)


def form_of(path: Path, args: ImportCsvArgs, columns: Sequence[Column] | None, sha256: str) -> Form:
    """Detect how a file is written. Raises `FileUnreadable`."""
    with path.open("rb") as file:
        encoding = Encoding(args.encoding, is_guessed=False) if args.encoding else encoding_of(file)
        sample = _sample(file, encoding.name)
        layout = layout_of(sample, encoding.name, args.delimiter, args.header, _names_in_header(args, columns))
    return Form(_fingerprint(args), sha256, layout, encoding.is_guessed)


def _names_in_header(args: ImportCsvArgs, columns: Sequence[Column] | None) -> frozenset[str]:
    """Return what a header may say, folded: neither `#2`, which is no name, nor what has no letter or digit."""
    mapped = (name for name in args.mapping if column_number(name) is None)
    return frozenset(map(folded, [*mapped, *(column.name for column in columns or ())])) - {""}


def check_unchanged(form: Form, args: ImportCsvArgs, sha256: str) -> None:
    """Raise `ImportChanged` if an import that has begun would continue with something else."""
    if form.sha256 != sha256:
        raise ImportChanged("The import began with another file. Enqueue a separate job for this one.")
    if form.args != _fingerprint(args):
        raise ImportChanged("The args were changed after the import began. Enqueue a separate job for them.")


@contextmanager
def opened(path: Path, form: Form, args: ImportCsvArgs, columns: Sequence[Column] | None) -> Iterator[Source]:
    """Open a file to read its records. Raises `FileUnreadable` and `ColumnsDoNotFit`."""
    with path.open("rb") as file:
        first = next(
            iter(rows_of(_sample(file, form.layout.encoding)[form.layout.first_line - 1 :], form.layout)), None
        )
        if first is None:
            file.seek(0)
            Records(file, form.layout).take(1)  # says what is wrong with the first row, if there is one
            raise FileUnreadable("The file is empty.")
        first = [_storable(cell) for cell in first]
        plan = plan_of(first, columns, has_header=form.layout.has_header, mapping=args.mapping, types=args.types)
        file.seek(0)
        yield Source(file, form, plan, first if form.layout.has_header else ())


def _storable(name: str) -> str:
    """Return a name as a result and the args of a job can have it."""
    return name.replace(UNREADABLE, _REPLACEMENT).replace("\0", _REPLACEMENT)


def _sample(file: BinaryIO, encoding: str) -> list[str]:
    """Return the first whole lines of a file."""
    file.seek(0)
    lines, size = [], 0
    source = Lines(file, encoding)
    for line in source:
        lines.append(line)
        source.kept_from += 1
        size += len(line)
        if size > _SAMPLE_CHARACTERS:
            break
    return lines


def _fingerprint(args: ImportCsvArgs) -> str:
    said = args.model_dump_json(exclude=_MAY_CHANGE | {"file"})
    return hashlib.sha256(said.encode()).hexdigest()
