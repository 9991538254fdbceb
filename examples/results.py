"""Make the numbers of the documentation anew, and say which moved.

    python examples/results.py                    # everything that the data at hand allow: hours
    python examples/results.py --list             # what there is, and how long it takes
    python examples/results.py --only demo top_k  # some
    python examples/results.py --quick            # only to see that the commands run

:data:`COMMANDS` names every committed number's command: the files of ``docs/results`` that it
writes, the pages in which its tables stand, and the pictures. ``make results`` is this script. New
files go to ``--output`` and are compared with the committed ones number by number: JSON by its
keys, Markdown by the numbers of its lines. A number that differs by more than the command's
tolerance has moved; old and new value are printed, and whether the new one lies in the interval
that stands beside the old one. ``--accept`` then copies the files to where the committed ones are;
a table inside a page is copied by hand, as the sentences around it must fit.

The exit code is 0 when nothing moved, 1 when something did, 2 when a command failed. What needs
data beside the repository is left out, by name, where they are absent.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from result_changes import Change, changes_of_files, changes_of_table

from pxgen_plugins.utils.files import write_atomic

__all__ = ["COMMANDS", "Command", "main"]

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
RESULTS = "docs/results"
GALLERY = sorted(path.name for path in (ROOT / "docs/gallery").glob("*.png"))
VOLATILE = (
    "calibration_seconds", "cpu_seconds", "peak_memory_mib", "peak_mib", "pxgen_plugins_version",
    "s", "seconds", "train_seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command, and the committed numbers that it makes.

    Attributes:
        name: Short, for ``--only``.
        words: The command as a reader types it; its ``--output`` is added.
        minutes: About how long it takes on one core.
        files: Files that it writes, and that are committed in ``docs/results`` as they are.
        tables: Pages with sentences around a table, and the Markdown file with that table.
        pictures: Committed pictures outside ``docs/results``, and the file that becomes them.
        output: The argument of ``--output``, below the folder of new files.
        needs: Files beside the repository, below ``shared/``.
        quick: Options that make it small.
        tolerance: The relative difference that is no move.
        volatile: Keys and columns that differ from run to run, such as seconds; not compared.
    """

    name: str
    words: str
    minutes: float
    files: tuple[str, ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
    output: str = ""
    needs: tuple[str, ...] = ()
    quick: str = ""
    tolerance: float = 1e-6
    volatile: tuple[str, ...] = VOLATILE

    def absent(self) -> list[str]:
        """Return what it needs and is not there."""
        return [name for name in self.needs if not (SHARED / name).exists()]

    def run(self, folder: Path, quick: bool) -> int:
        """Run it; return its exit code."""
        words = shlex.split(f"{self.words} {self.quick if quick else ''}")
        words = [sys.executable if word == "python" else word for word in words]
        command = [*words, "--output", str(folder / self.output)]
        return subprocess.run(command, cwd=ROOT, env=_environment(), check=False).returncode

    def changes(self, folder: Path, root: Path = ROOT) -> Iterator[Change]:
        """Yield what differs between the committed files and those in ``folder``."""
        for name in self.files:
            yield from changes_of_files(root / RESULTS / name, folder / name, self.volatile)
        for committed, name in self.pictures.items():
            yield from changes_of_files(root / committed, folder / name, self.volatile)
        for page, name in self.tables.items():
            yield from changes_of_table(root / page, folder / name, self.volatile)


def _names(stem: str, *suffixes: str) -> tuple[str, ...]:
    return tuple(f"{stem}.{suffix}" for suffix in suffixes or ("json", "md", "png"))


_CIFAR = "data/cifar10_subset.npz"
_AIRPLANES = tuple(
    f"models/tracin_cifar_airplane_{step}.safetensors"
    for step in (50_000, 500_000, 1_000_000, 1_500_000)
)
_ZEROS = f"{RESULTS}/mnist_zeros.md"
_SOFT = "soft_intro_vae"
COMMANDS = (
    Command(
        "demo",
        "python examples/mnist_zeros.py",
        1,
        tables={_ZEROS: "summary.md"},
        pictures={"docs/images/groups.png": "groups.png"},
        quick="--n-samples 500 --n-repeats 2 --n-anchors 1000",
    ),
    Command(
        "gallery",
        "python examples/gallery.py",
        5,
        pictures={f"docs/gallery/{name}": name for name in GALLERY},
        quick="--only saliency",
    ),
    Command(
        "mnist_zeros",
        "python examples/mnist_zeros_study.py",
        20,
        files=("mnist_zeros.json",),
        tables={_ZEROS: "mnist_zeros_table.md"},
        quick="--quick",
    ),
    Command(
        "anchor_study",
        "python examples/mnist_anchor_study.py",
        1,
        files=(*_names("mnist_anchor_study"), *_names("mnist_threshold_study")),
        quick="--n-anchors 1500 --n-samples 500",
    ),
    Command(
        "reference_thresholds",
        "python examples/reference_thresholds.py",
        2,
        files=_names("reference_thresholds", "json", "md"),
        quick="--n-others 200 --rules 4",
    ),
    Command(
        "calibration_noise",
        "python examples/calibration_noise.py",
        60,
        files=_names("calibration_noise"),
        quick="--quick",
    ),
    Command(
        "planted_delusion",
        "python examples/planted_delusion.py",
        2,
        files=_names("planted_delusion"),
        quick="--n-images 300 --n-anchors 300 --n-samples 300 --epochs 1",
    ),
    Command(
        "planted_copies",
        "python examples/planted_copies.py",
        15,
        files=(
            *_names("planted_copies", "json", "md"),
            *(f"planted_copies_{name}.png" for name in ("vae", "diffusion", "characters", "table")),
        ),
        quick="--samples 300 --seeds 3 --scale 0.02 --only table",
    ),
    Command(
        "copies",
        "python examples/shipped_copies.py",
        10,
        files=_names("copies", "json", "md", "png"),
        quick="--n 120 --parts 20 --only zeros",
    ),
    Command(
        "removal_digit0",
        "python examples/removal_mnist.py --digit 0",
        45,
        files=_names("removal_digit0"),
        quick="--small",
    ),
    Command(
        "removal_digit5",
        "python examples/removal_mnist.py --digit 5 --threshold-samples 1000",
        45,
        files=_names("removal_digit5"),
        quick="--small",
    ),
    Command(
        "scorecard",
        "python examples/evaluate_mnist.py",
        1,
        files=_names("scorecard_mnist"),
        quick="--n-anchors 200 --n-samples 500 --n-repeats 3",
    ),
    Command(
        "top_k",
        "python examples/top_k_mnist.py",
        5,
        files=_names("top_k_mnist"),
        quick="--n-images 250 --epochs 2 --checkpoints 1 --generated 5 --k 4",
    ),
    Command(
        "compare",
        "python examples/compare_mnist.py",
        2,
        tables={f"{RESULTS}/compare_mnist.md": "comparison.md"},
        pictures={"docs/images/comparison.png": "comparison.png"},
        quick="--quick --n-anchors 200",
    ),
    Command(
        "vae_vs_gan",
        "python examples/vae_vs_gan.py",
        6,
        files=_names("vae_vs_gan"),
        quick="--quick --n-digits 20 --n-odd 2 --n-reference 60",
    ),
    Command(
        "where_is_the_seven",
        "python examples/where_is_the_seven.py",
        5,
        files=(*_names("where_is_the_seven"), "words_on_the_picture.png"),
        quick="--quick",
        tolerance=1e-3,
    ),
    Command(
        "inside",
        "python examples/inside.py",
        8,
        files=_names("inside", "json", "md"),
        needs=tuple(
            f"models/{name}.safetensors"
            for name in ("disvae_VAE_dsprites", "disvae_VAE_celeba", "yichizz_mnist_ddpm")
        ),
        quick="--quick",
    ),
    Command(
        "steering",
        "python examples/steering.py",
        3,
        files=_names("steering"),
        needs=("models/disvae_VAE_dsprites.safetensors",),
        quick="--quick",
    ),
    Command(
        "latent_words",
        "python examples/latent_words.py",
        3,
        files=_names("descriptions"),
        needs=("models/disvae_VAE_dsprites.safetensors",),
        quick="--quick",
    ),
    Command(
        "explorer",
        "python examples/record_explorer.py",
        2,
        pictures={f"docs/images/explorer.{kind}": f"explorer.{kind}" for kind in ("gif", "png")},
        quick="--anchors 120",
    ),
    Command(
        "soft_intro_vae",
        f"python examples/soft_intro_vae.py --data ../shared/{_CIFAR} "
        "--weights examples/weights/soft_intro_vae.safetensors",
        5,
        files=(
            *_names(_SOFT, "json", "md"),
            *(f"{_SOFT}_{kind}_patch_frechet.png" for kind in ("alignment", "delusion", "groups")),
        ),
        needs=(_CIFAR,),
        quick="--n-samples 20 --n-repeats 2",
    ),
    Command(
        "families",
        "python examples/families.py",
        10,
        files=_names("families", "json", "md"),
        needs=(
            _CIFAR,
            "data/cifar10_airplane_train.npz",
            _AIRPLANES[-1],
            "models/disvae_VAE_celeba.safetensors",
            "models/disvae_VAE_dsprites.safetensors",
            "models/disvae_VAE_mnist.safetensors",
            "models/phlippe_mnist_flow_simple.safetensors",
            "models/yichizz_mnist_ddpm.safetensors",
        ),
        quick="--n-samples 100 --family autoencoder vae",
    ),
    Command(
        "family_defaults",
        "python examples/family_defaults.py",
        30,
        files=_names("family_defaults", "json", "md"),
        needs=(
            "models/phlippe_mnist_flow_simple.safetensors",
            "models/yichizz_mnist_ddpm.safetensors",
        ),
        quick="--n-anchors 8 --family sample_bank tabular",
        volatile=(
            *VOLATILE,
            *(f"{s}, s" for s in ("fit", "explain", "compare", "evaluate", "audit", "compare all")),
        ),
    ),
    Command(
        "airplane_influence",
        "python examples/airplane_influence.py",
        3,
        files=_names("airplane_influence", "json", "md"),
        needs=("data/cifar10_airplane_train.npz", *_AIRPLANES),
        quick="--n-images 4 --n-draws 1",
    ),
    Command(
        "benchmarks",
        "python benchmarks/run.py",
        20,
        files=_names("benchmarks", "json", "md"),
        output="benchmarks.json",
        quick="--quick",
        tolerance=0.25,
        volatile=("machine", "versions", "date", "load", "command", "note"),
    ),
    Command("kept_thresholds", "python examples/kept_thresholds.py", 3, _names("kept_thresholds")),
    Command(
        "audit",
        "python benchmarks/run.py --only kills workers many_anchors",
        90,
        files=("audit.json",),
        tables={f"{RESULTS}/audit.md": "audit.md"},
        output="audit.json",
        quick="--quick",
        tolerance=0.25,
        volatile=("machine", "versions", "date", "load", "command", "note"),
    ),
)


def main(argv: list[str] | None = None) -> int:
    """Run the script with ``argv``, those of the command line by default; return the exit code."""
    names = [command.name for command in COMMANDS]
    parser = argparse.ArgumentParser(description="Make the numbers of the documentation anew.")
    parser.add_argument("--list", action="store_true", help="print the commands, run nothing")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="small sizes; nothing is compared")
    parser.add_argument("--no-run", action="store_true", help="compare what --output holds already")
    parser.add_argument("--accept", action="store_true", help="replace the committed files")
    parser.add_argument("--output", type=Path, default=Path("output/results"))
    given = parser.parse_args(argv)
    chosen = [command for command in COMMANDS if command.name in given.only]
    if given.list:
        print("\n".join(map(_line, chosen)))
        return 0
    states = [_state(command, given) for command in chosen]
    for command, state in zip(chosen, states, strict=True):
        print(f"{command.name:<20} {state}")
    return 2 if "failed" in states else int("moved" in states)


def _state(command: Command, given: argparse.Namespace) -> str:
    """Make one command's numbers, print what moved, and return how it went, in words."""
    if absent := command.absent():
        return f"left out: shared/{absent[0]} is not beside the repository"
    folder = (given.output / command.name).resolve()
    if not given.no_run:
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{command.name}: {command.words}", flush=True)
        if command.run(folder, given.quick) != 0:
            return "failed"
    if given.quick:
        return "ran"
    found = list(command.changes(folder))
    moved = [change for change in found if change.moved(command.tolerance)]
    for change in [*moved, *(change for change in found if change.note)]:
        print(f"  {change}")
    if given.accept:
        _accept(command, folder)
    return "moved" if moved else "as committed"


def _accept(command: Command, folder: Path) -> None:
    copies = {f"{RESULTS}/{name}": name for name in command.files} | dict(command.pictures)
    for committed, name in copies.items():
        write_atomic(ROOT / committed, (folder / name).read_bytes())


def _line(command: Command) -> str:
    needs = "; needs shared/" if command.needs else ""
    return f"{command.name:<20} {command.minutes:>3g} min{needs}\n    {command.words}"


def _environment() -> dict[str, str]:
    # the committed numbers were made with one thread: another number changes the last bits
    return {**os.environ, "OMP_NUM_THREADS": "1"}


if __name__ == "__main__":
    sys.exit(main())
