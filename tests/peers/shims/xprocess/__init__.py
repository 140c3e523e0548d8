"""pytest-xprocess's public names."""

from .xprocess import ProcessStarter, XProcess, XProcessInfo, XProcessResources

__all__ = ["ProcessStarter", "XProcess", "XProcessInfo", "XProcessResources"]
