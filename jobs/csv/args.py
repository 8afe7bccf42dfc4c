"""What `import_csv` is sent with."""

import codecs
import re
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from jobs.csv.columns import LONGEST_NAME, ColumnType
from jobs.kit.files import FileId
from jobs.kit.proof import Check

MOST_ROWS_AT_ONCE = 10_000
# Python calls them encodings of text, but no file is written in them.
_NO_FILES = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7"})


def _check_encoding(name: str) -> None:
    try:
        is_of_text = codecs.lookup(name).name.replace("_", "-") not in _NO_FILES
        b"a,1\n".decode(name)
    except UnicodeError:  # the probe is no text in an encoding of four bytes for each character
        pass
    except (LookupError, ValueError):
        is_of_text = False
    if not is_of_text:
        raise ValueError("is no encoding of text that Python knows, such as utf-8, utf-16, cp1252 or shift_jis")


def _check_format(written: str) -> None:
    try:
        datetime.strptime("", written)  # noqa: DTZ007 - nothing is read
    except re.error:
        raise ValueError("names a part of the time more than once") from None
    except ValueError as error:
        if "directive" in str(error) or "stray" in str(error):
            raise ValueError("is no format that Python's `strptime` knows, such as %d.%m.%Y %H:%M") from None


Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
Format = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(Check(_check_format))]
Encoding = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(Check(_check_encoding))]


class TypeAndFormat(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: ColumnType
    format: Format | None = Field(
        None, description="How dates and times are written, in the codes of Python's `strptime`: `%d.%m.%Y`."
    )
    decimal_comma: bool = Field(False, description="Numbers have a comma where others have a point: `1.234,50`.")

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
    target: Name = Field(description="One of those that `POSTLUDE_IMPORT_TARGETS` lists.")
    mapping: dict[Name, Name | None] = Field(
        {},
        max_length=1_000,
        description="Which column of the file goes into which column of the target; null leaves it out. The others go"
        " by their names. `#2` is the second column of the file, for headers that stand twice, and files without any.",
    )
    types: dict[Name, ColumnType | TypeAndFormat] = Field(
        {}, max_length=1_000, description="By the target's columns. Default: those of the table; for kinds, text."
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1, pattern=r'^[^"\r\n\x00]$')] | None = Field(
        None, description="What stands between fields. Default: found out."
    )
    encoding: Encoding | None = Field(None, description="Default: found out.")
    header: bool | None = Field(None, description="Whether the first line names the columns. Default: found out.")
    on_conflict: Literal["insert", "skip", "update"] = Field(
        "insert",
        description="What becomes of a row whose key is there already: it is bad (`insert`), left out, or takes the"
        " place of what is there, column by column.",
    )
    key: list[Name] = Field(
        [], max_length=32, description="The columns by which `skip` and `update` find rows. Default: the primary key."
    )
    dry_run: bool = Field(False, description="Only say what would be done; nothing stays in the table.")
    batch_size: Annotated[int, Field(ge=1, le=MOST_ROWS_AT_ONCE)] | None = Field(
        None, description="How many rows share a transaction, or a job. Default: 2,000, or what the target says."
    )
    max_errors: int = Field(
        1_000, ge=0, le=100_000, description="With more bad rows than this the import ends as failed; good rows stay."
    )

    @model_validator(mode="after")
    def _key_has_a_use(self) -> Self:
        if self.key and self.on_conflict == "insert":
            raise ValueError("key goes with on_conflict skip or update")
        return self
