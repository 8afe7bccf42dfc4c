"""Kinds whose args do not all survive JSON, loaded through `POSTLUDE_JOBS`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, SecretStr, field_validator

from jobs import Context, job


class LevelArgs(BaseModel):
    level: float | None = None
    note: str = ""


class DoublingArgs(BaseModel):
    count: Annotated[int, AfterValidator(lambda count: count * 2)] = 0


class RenamedArgs(BaseModel):
    count: int = Field(1, serialization_alias="number")


class SecretLevelArgs(BaseModel):
    token: SecretStr
    level: float | None = None


class NumberedArgs(BaseModel):
    lines: dict[int, str]


class RaisingArgs(BaseModel):
    token: SecretStr

    @field_validator("token")
    @classmethod
    def _look_up(cls, token: SecretStr) -> SecretStr:
        return {"known": token}[token.get_secret_value()]


class Round(BaseModel):
    form: Literal["round"]


class Square(BaseModel):
    form: Literal["square"]


class TaggedArgs(BaseModel):
    shape: Annotated[Round | Square, Field(discriminator="form")]


@job("odd_raising")
async def odd_raising(ctx: Context, args: RaisingArgs) -> None: ...


@job("odd_level")
async def odd_level(ctx: Context, args: LevelArgs) -> dict[str, Any]:
    return args.model_dump()


@job("odd_doubling")
async def odd_doubling(ctx: Context, args: DoublingArgs) -> int:
    return args.count


@job("odd_renamed")
async def odd_renamed(ctx: Context, args: RenamedArgs) -> int:
    return args.count


@job("odd_secret")
async def odd_secret(ctx: Context, args: SecretLevelArgs) -> None: ...


@job("odd_numbered")
async def odd_numbered(ctx: Context, args: NumberedArgs) -> dict[int, str]:
    return args.lines


@job("odd_tagged")
async def odd_tagged(ctx: Context, args: TaggedArgs) -> None: ...
