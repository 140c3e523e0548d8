"""`hostler explain`: why is this server in the state it is in?"""

from __future__ import annotations

import click

from hostler.cli.arguments import Layers, file_and_name, known_name, layer_options, words_argument
from hostler.cli.import_deadline import bounded_imports
from hostler.config.load import load_resolved
from hostler.model.spec import ServerSpec
from hostler.process.disk.directories import Directories
from hostler.process.disk.namespace import resolve_namespace


@click.command("explain")
@words_argument
@layer_options
def command(words: tuple[str, ...], layers: Layers) -> None:
    """Say in sentences why the server NAME of FILE (./hostler.toml by default) is in the state it is in.

    Without NAME all are explained. What is said comes from what is on disk: the server's lock, its
    records, and the last state that was written down; whoever runs it is not disturbed.
    """
    from hostler.cli.explanation import explained  # noqa: PLC0415 - a usage error needs none of it
    from hostler.records.inspect import look_at  # noqa: PLC0415
    from hostler.text.sanitize import harmless  # noqa: PLC0415

    file, name = file_and_name(words)

    with bounded_imports():
        configuration, _ = load_resolved(file, **layers)

    names = list(configuration.servers) if name is None else [known_name(configuration, file, name)]
    directories = Directories.default()
    namespace = resolve_namespace(directories, configuration.namespace or "")
    data_dir = directories.data_for(namespace)
    situations = [look_at(one, namespace, directories, data_dir) for one in names]
    texts = [
        "\n".join([*explained(one), *_obstacles(configuration.servers[one.server])]) for one in situations
    ]
    click.echo(harmless("\n\n".join(texts)))


def _obstacles(spec: ServerSpec) -> list[str]:
    return [f"A start from here would fail: {problem}" for problem in spec.unset]
