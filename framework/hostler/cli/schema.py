"""`hostler schema`: what an editor needs to complete and check a configuration."""

from __future__ import annotations

import json
from typing import Any

import click

from hostler.cli.import_deadline import bounded_imports
from hostler.errors import ServerError


@click.command("schema")
@click.option("--api", is_flag=True, help="Print the OpenAPI document of the control API instead.")
def command(*, api: bool) -> None:
    """Print the JSON Schema of a configuration, with the options of every installed plugin.

    Write it beside the configuration (hostler schema > hostler.schema.json) and name it in the first line
    of the TOML file: #:schema ./hostler.schema.json
    """
    click.echo(json.dumps(_of_the_api() if api else _of_a_configuration(), indent=2))


def _of_the_api() -> dict[str, Any]:
    from hostler.control.openapi import api_document  # noqa: PLC0415 - only this option needs it

    return api_document()


def _of_a_configuration() -> dict[str, Any]:
    from hostler.config.json_schema import json_schema  # noqa: PLC0415 - only this command needs it
    from hostler.model.spec import ListenerSpec, PluginSpec  # noqa: PLC0415
    from hostler.plugins.discovery import installed  # noqa: PLC0415
    from hostler.plugins.json_schema import options_schema  # noqa: PLC0415
    from hostler.plugins.options import plugin_class  # noqa: PLC0415

    schemas: dict[str, dict[str, Any]] = {PluginSpec.group: {}, ListenerSpec.group: {}}
    with bounded_imports():
        for kind in (PluginSpec, ListenerSpec):
            for name in installed(kind):
                try:
                    schemas[kind.group][name] = options_schema(plugin_class(kind(name)))
                except ServerError as error:
                    click.echo(f"left out: {name} cannot be used: {error}", err=True)
    return json_schema(*schemas.values())
