"""`python -m config`: the files that are generated from the configuration's model."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the types at run time

import typer

from config import docs, schema
from config.paths import ROOT

DOCS = ROOT / "docs"
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


def generated() -> dict[Path, str]:
    """The generated files and what they must contain."""
    return {
        DOCS / "config.schema.json": json.dumps(schema.stack_file_schema(), indent=2) + "\n",
        DOCS / "config.md": docs.page(),
    }


@app.command(name="schema")
def print_schema() -> None:
    """Print the JSON schema of a stack file."""
    typer.echo(json.dumps(schema.stack_file_schema(), indent=2))


@app.command(name="docs")
def write_docs() -> None:
    """Write docs/config.md and docs/config.schema.json."""
    for path, text in generated().items():
        path.write_text(text)
        typer.echo(f"wrote {path.name}")


if __name__ == "__main__":
    app()
