"""Build the site from nothing: warnings, dead links and requests to other hosts are errors.

    python docs/site/build_site.py                  # into build/site: open index.html
    python docs/site/build_site.py --output folder

The sources are put together beside it (``build/site-sources``): the pages of ``docs/``, some of the
root, and a page for every public name. Nothing is executed or downloaded.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import api_pages
import page_sources
import site_checks

__all__ = ["build", "main"]


def build(output: Path) -> list[str]:
    """Build the site into a folder, which is made anew, and return what is wrong with it.

    Args:
        output: The folder of the site. Its sources go beside it, into ``<name>-sources``.
    """
    inputs = output.with_name(f"{output.name}-sources")
    for folder in (output, inputs):
        shutil.rmtree(folder, ignore_errors=True)
    inputs.mkdir(parents=True)
    page_sources.collect(inputs)
    api_pages.write_pages(inputs / "api")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-E"]
    command += ["-d", f"{inputs}/.doctrees", "-c", str(Path(__file__).parent)]
    done = subprocess.run([*command, str(inputs), str(output)], check=False)
    faults = [f"Sphinx ended with exit code {done.returncode}"] if done.returncode else []
    faults += [f"leads nowhere: {link}" for link in site_checks.broken_links(output)]
    return faults + [f"another host: {address}" for address in site_checks.foreign_requests(output)]


def main(arguments: list[str] | None = None) -> int:
    """Build the site; return the exit code."""
    parser = argparse.ArgumentParser(description="Build the site.")
    parser.add_argument("--output", type=Path, default=page_sources.ROOT / "build" / "site")
    output = parser.parse_args(arguments).output.resolve()
    faults = build(output)
    print("\n".join(faults) or f"The site is built: {output / 'index.html'}")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
