"""The files of other tools as servers: Procfile, pm2, supervisord, compose and process-compose."""

from __future__ import annotations

import configparser
from collections.abc import Callable
from pathlib import Path

from hostler.cli.scaffold.compose import read_compose
from hostler.cli.scaffold.draft import Drafts
from hostler.cli.scaffold.pm2 import read_pm2
from hostler.cli.scaffold.procfile import read_procfile
from hostler.cli.scaffold.supervisord import read_supervisord
from hostler.errors import InvalidConfiguration, Problem


def read_other(path: Path) -> Drafts:
    """The servers of a file, by its name. Raises InvalidConfiguration for what cannot be read."""
    try:
        drafts = Drafts(str(path), path.read_text("utf-8"))
        _reader(path)(path, drafts)
    except KeyError as error:
        raise InvalidConfiguration(
            [Problem("", f"cannot be imported: a {error} is missing", path)]
        ) from error
    except (OSError, ValueError, configparser.Error, AttributeError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidConfiguration([Problem("", f"cannot be imported: {reason}", path)]) from error
    if not drafts.servers:
        raise InvalidConfiguration([Problem("", "there is no process in it", path)])
    return drafts


def _reader(path: Path) -> Callable[[Path, Drafts], None]:
    match path.suffix:
        case ".json" | ".js" | ".cjs":
            return read_pm2
        case ".conf" | ".ini":
            return read_supervisord
        case ".yaml" | ".yml":
            return read_compose
        case _ if path.name.startswith("Procfile"):
            return read_procfile
    raise ValueError(
        "expected Procfile, ecosystem.config.js or .json (pm2), supervisord.conf, compose.yaml or "
        "process-compose.yaml"
    )
