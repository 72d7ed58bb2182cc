"""Commands whose help lists the options in groups, which click does not do by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

# What every command has.
COMMON = {
    "Messages": ("verbose", "quiet", "as_json", "debug", "help"),
    "Limits and trust": ("trust_links", "trust", "allow_embedded_code", "limit_memory", "limit_time", "no_isolate"),
}
WORDS = "trtconv.words"  # where a context holds the words of its command line, from the command on
_OTHERS = "Others"
_MAX_WIDTH = 30


class GroupedCommand(click.Command):
    """A command with `groups`: the parameters of its options by the heading that they stand below in its help."""

    def __init__(self, *args: Any, groups: Mapping[str, Sequence[str]], **options: Any) -> None:
        super().__init__(*args, **options)
        self.groups = {**groups, **COMMON}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words for the line that a dry run ends with."""
        ctx.meta[WORDS] = [ctx.info_name, *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options below their headings, all in the same columns."""
        heading_of = {name: heading for heading, names in self.groups.items() for name in names}
        rows: dict[str, list[tuple[str, str]]] = {heading: [] for heading in (*self.groups, _OTHERS)}
        ranks = {name: rank for rank, name in enumerate(heading_of)}
        options = [(self._name(param, ctx), param) for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for name, option in sorted(options, key=lambda pair: ranks.get(pair[0], len(ranks))):
            if (record := option.get_help_record(ctx)) is not None:
                rows[heading_of.get(name, _OTHERS)].append(record)
        width = min(max(len(text) for group in rows.values() for text, _ in group), _MAX_WIDTH)
        for heading, group in rows.items():
            if group:
                with formatter.section(heading):
                    formatter.write_dl([(text.ljust(width), told) for text, told in group])

    @staticmethod
    def _name(option: click.Option, ctx: click.Context) -> str:
        """Return the name of an option's parameter; click has several for that of the help."""
        return "help" if set(option.opts) & set(ctx.help_option_names) else option.name or ""
