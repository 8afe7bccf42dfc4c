"""The args of `import_csv`."""

import codecs
import re
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from jobs.csv.columns import LONGEST_NAME, ColumnType
from jobs.kit.files import FileId
from jobs.kit.proof import Check

MOST_ROWS_AT_ONCE = 10_000
# Python calls these text encodings, but no file is written in them.
_NO_FILES = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7"})


def _check_encoding(name: str) -> None:
    try:
        is_of_text = codecs.lookup(name).name.replace("_", "-") not in _NO_FILES
        b"a,1\n".decode(name)
    except UnicodeError:  # the probe is not text in an encoding with four bytes for each character
        pass
    except (LookupError, ValueError):
        is_of_text = False
    if not is_of_text:
        raise ValueError("is not a text encoding that Python knows, such as utf-8, utf-16, cp1252 or shift_jis")


def _check_format(written: str) -> None:
    try:
        datetime.strptime("", written)  # noqa: DTZ007 - nothing is read
    except re.error:
        raise ValueError("names a part of the time more than once") from None
    except ValueError as error:
        if "directive" in str(error) or "stray" in str(error):
            raise ValueError("is not a format that Python's `strptime` knows, such as %d.%m.%Y %H:%M") from None


Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
Format = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(Check(_check_format))]
Encoding = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(Check(_check_encoding))]


class TypeAndFormat(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: ColumnType
    format: Format | None = Field(
        None, description="How dates and times are written, in the codes of Python's `strptime`: `%d.%m.%Y`."
    )
    decimal_comma: bool = Field(False, description="Numbers have a decimal comma: `1.234,50`.")

    @model_validator(mode="after")
    def _formats_times_only(self) -> Self:
        if self.format is not None and self.type not in ("date", "datetime"):
            raise ValueError("only the types date and datetime have a format")
        if self.decimal_comma and self.type not in ("decimal", "float"):
            raise ValueError("only the types decimal and float have a decimal_comma")
        return self


class ImportCsvArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    file: FileId
    target: Name = Field(description="The name of a target in `POSTLUDE_IMPORT_TARGETS`.")
    mapping: dict[Name, Name | None] = Field(
        {},
        max_length=1_000,
        description="Which column of the file goes into which column of the target; null leaves it out. Others go by"
        " name. `#2` is the second column of the file, for repeated headers and files without a header.",
    )
    types: dict[Name, ColumnType | TypeAndFormat] = Field(
        {}, max_length=1_000, description="Types by the target's columns. Default: the table's; for kinds, text."
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1, pattern=r'^[^"\r\n\x00]$')] | None = Field(
        None, description="What separates fields. Default: detected."
    )
    encoding: Encoding | None = Field(None, description="Default: detected.")
    header: bool | None = Field(None, description="Whether the first line names the columns. Default: detected.")
    on_conflict: Literal["insert", "skip", "update"] = Field(
        "insert",
        description="What to do with a row whose key already exists: count it as bad (`insert`), leave it out (`skip`),"
        " or replace the existing row, column by column (`update`).",
    )
    key: list[Name] = Field(
        [], max_length=32, description="The columns by which `skip` and `update` find rows. Default: the primary key."
    )
    dry_run: bool = Field(False, description="Only report what would be done; nothing stays in the table.")
    batch_size: Annotated[int, Field(ge=1, le=MOST_ROWS_AT_ONCE)] | None = Field(
        None, description="How many rows share a transaction or a job. Default: the target's, or 2,000."
    )
    max_errors: int = Field(
        1_000, ge=0, le=100_000, description="With more bad rows than this the import fails; good rows stay."
    )

    @model_validator(mode="after")
    def _key_has_a_use(self) -> Self:
        if self.key and self.on_conflict == "insert":
            raise ValueError("key goes with on_conflict skip or update")
        return self
