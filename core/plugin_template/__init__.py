"""A plugin to start from: the text files of a complete distribution, as templates."""

from cosolve.core.plugin_template.writing import TEMPLATE_ROLES, write_plugin

__all__ = ["TEMPLATE_ROLES", "write_plugin"]
