"""`headgate cache`: what is remembered of stores; works beside running gateways."""

import click

from vfs.commands.pending import pending


@click.group()
def cache() -> None:
    """Look after what is remembered of stores; running gateways see it at once."""


cache.add_command(pending)
