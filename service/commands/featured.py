"""Commands of features: known by name, and imported when one is used, so that help appears at once."""

from functools import cached_property

import click


class Featured(click.Group):
    """The group of commands, called `name`, that a feature brings."""

    def __init__(self, name: str, feature: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)
        self._feature = feature

    @cached_property
    def _group(self) -> click.Group:
        from service.features import FEATURES

        made = (one.commands for one in FEATURES if one.name == self._feature and one.commands is not None)
        commands = next(made, None)
        return commands() if commands is not None else click.Group(self.name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._group.list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._group.get_command(ctx, cmd_name)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self._group.format_help_text(ctx, formatter)
