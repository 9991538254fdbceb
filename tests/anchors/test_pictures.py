"""Pictures keep what they hold: modes x depths x formats, against values that are known."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest

from pxgen_plugins import PXGen
from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.datasets import load_mnist_vae
from pxgen_plugins.models import VAE
from pxgen_plugins.thresholds import Fixed
from pxgen_plugins.utils.errors import AnchorError, ParameterError, PXGenWarning

Image = pytest.importorskip("PIL.Image")

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 8), dtype=np.uint8)
RGB = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
HALF = np.where(np.arange(8) < 4, 255, 0).astype(np.uint8) * np.ones((6, 1), np.uint8)
LUMA = np.array([299, 587, 114]) / 1000  # ITU-R BT.601


def encode(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png16(array, kind):
    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in array.astype(">u2"))

    def chunk(name, content):
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def tiff16(array):
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, array.astype("u2"), photometric="rgb")
    return file.getvalue()


def image(array, mode=None):
    return Image.fromarray(array, mode)


def palette(alpha=None):
    made = Image.fromarray(GREY % 4, "L")
    made = Image.fromarray((GREY % 4), "P")
    made.putpalette([10, 20, 30, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    return encode(made, "PNG", **({} if alpha is None else {"transparency": alpha}))


KEY = tuple(map(int, RGB[0, 0]))
COLOURS = np.array([[10, 20, 30], [200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)[GREY % 4]
TWO = [image(RGB), image(RGB[::-1].copy())]
DEEP = (RGB.astype(int) * 257).astype("u2")

# name: (suffix, bytes, what an RGB model gets, or the reason that a row fails)
CASES = {
    "grey": ("png", encode(image(GREY), "PNG"), np.repeat(GREY[..., None], 3, 2)),
    "rgb": ("png", encode(image(RGB), "PNG"), RGB),
    "rgb bmp": ("bmp", encode(image(RGB), "BMP"), RGB),
    "rgb tiff": ("tif", encode(image(RGB), "TIFF"), RGB),
    "rgb ppm": ("ppm", encode(image(RGB), "PPM"), RGB),
    "rgb webp": ("webp", encode(image(RGB), "WEBP", lossless=True), RGB),
    "bits": ("png", encode(image(HALF).convert("1"), "PNG"), np.repeat(HALF[..., None], 3, 2)),
    "palette": ("png", palette(), COLOURS),
    "16 bits grey": ("png", png16(DEEP[..., 0], 0), "8 bits"),
    "16 bits grey alpha": ("png", png16(DEEP[..., :2], 4), "8 bits"),
    "16 bits rgb": ("png", png16(DEEP, 2), "8 bits"),
    "16 bits rgba": ("png", png16(np.concatenate([DEEP, DEEP[..., :1]], 2), 6), "8 bits"),
    "16 bits tiff": ("tif", tiff16(DEEP), "8 bits"),
    "16 bits ppm": ("ppm", b"P6 8 6 65535\n" + DEEP.astype(">u2").tobytes(), "8 bits"),
    "16 bits pgm": ("pgm", b"P5 8 6 65535\n" + DEEP[..., 0].astype(">u2").tobytes(), "8 bits"),
    "floats": ("tif", encode(image(GREY.astype("f4")), "TIFF"), "8 bits"),
    "integers": ("tif", encode(image(GREY.astype("i4")), "TIFF"), "8 bits"),
    "opaque": ("png", encode(image(np.dstack([RGB, np.full_like(GREY, 255)])), "PNG"), RGB),
    "alpha": ("png", encode(image(np.dstack([RGB, HALF])), "PNG"), "transparent pixels"),
    "alpha webp": ("webp", encode(image(np.dstack([RGB, HALF])), "WEBP", lossless=True),
                   "transparent pixels"),
    "grey alpha": ("png", encode(image(np.dstack([GREY, HALF]), "LA"), "PNG"), "transparent"),
    "palette alpha": ("png", palette(alpha=1), "transparent pixels"),
    "transparent colour": ("png", encode(image(RGB), "PNG", transparency=KEY),
                           "transparent pixels"),
    "gif frames": ("gif", encode(TWO[0], "GIF", save_all=True, append_images=TWO[1:]), "2 frames"),
    "apng": ("png", encode(TWO[0], "PNG", save_all=True, append_images=TWO[1:]), "2 frames"),
    "webp frames": ("webp", encode(TWO[0], "WEBP", save_all=True, append_images=TWO[1:]),
                    "2 frames"),
    "tiff pages": ("tif", encode(TWO[0], "TIFF", save_all=True, append_images=TWO[1:]),
                   "2 frames"),
}  # fmt: skip


def folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return str(path)


def sources(path, name):
    """Return the same picture in a folder, in a CSV list, and in a Parquet column."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    suffix, content, _ = CASES[name]
    folder(path / "d", {f"a.{suffix}": content})
    (path / "d" / "list.csv").write_text(f"path\na.{suffix}\n")
    table = pyarrow.table({"image": [{"bytes": content}, {"bytes": content}]})
    parquet.write_table(table, path / "p.parquet")
    (path / "f").mkdir()
    (path / "f" / f"a.{suffix}").write_bytes(content)
    return [str(path / "f"), str(path / "d" / "list.csv"), str(path / "p.parquet")]


@pytest.mark.parametrize("name", CASES)
def test_a_picture_is_what_it_holds_or_a_failed_row_with_its_reason(name, tmp_path):
    right = CASES[name][2]
    for source in sources(tmp_path, name):
        rows, failed = open_anchors(source, sample_shape=(3, 6, 8)).read(np.array([0]))
        if isinstance(right, str):
            assert right in failed[0], source
        else:
            assert not failed, (source, failed)
            np.testing.assert_array_equal(np.moveaxis(rows[0], 0, -1), right, err_msg=source)


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if "transparent" in str(case[2])])
@pytest.mark.parametrize(("background", "level"), [("white", 255), (0, 0), ((7, 7, 7), 7)])
def test_transparent_pixels_lie_on_the_stated_colour(name, background, level, tmp_path):
    for source in sources(tmp_path, name):
        anchors = open_anchors(source, sample_shape=(3, 6, 8), background=background)
        rows, failed = anchors.read(slice(0, 1))
        assert not failed
        got = np.moveaxis(rows[0], 0, -1)
        clear = {
            "palette alpha": (GREY % 4) == 1,
            "transparent colour": (RGB[0, 0] == RGB).all(-1),
        }.get(name, HALF == 0)
        whole = {"palette alpha": COLOURS, "grey alpha": np.repeat(GREY[..., None], 3, 2)}
        right = np.where(clear[..., None], level, whole.get(name, RGB))
        np.testing.assert_array_equal(got, right)
        assert any("transparent" in note for note in anchors.notes)


def test_a_model_of_four_channels_keeps_alpha(tmp_path):
    whole = np.dstack([RGB, HALF])
    anchors = open_anchors(folder(tmp_path, {"a.png": encode(image(whole), "PNG")}),
                           sample_shape=(6, 8, 4))  # fmt: skip
    np.testing.assert_array_equal(anchors.read(slice(None))[0][0], whole)


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_the_order_of_names_decides_neither_colour_nor_size(order, tmp_path):
    first, second = order
    files = {
        f"{first}.png": encode(image(GREY), "PNG"),
        f"{second}.png": encode(image(RGB), "PNG"),
        f"{second}2.png": encode(image(RGB), "PNG"),
        "0.png": encode(image(RGB[:4, :4].copy()), "PNG"),
    }
    anchors = open_anchors(folder(tmp_path, files), sample_shape=None)
    rows, failed = anchors.read(slice(None))
    assert rows.shape == (4, 3, 6, 8)
    assert list(failed) == [0]
    grey = rows[list(anchors.ids).index(f"{first}.png")]
    np.testing.assert_array_equal(grey, np.repeat(GREY[None], 3, 0))


def test_colour_for_a_grey_model_is_said(tmp_path):
    path = folder(tmp_path, {f"{k}.png": encode(image(RGB), "PNG") for k in range(3)})
    with pytest.warns(PXGenWarning, match="3 are in colour and become grey"):
        anchors = open_anchors(path, sample_shape=(1, 6, 8))
    assert "become grey" in anchors.notes[0]
    assert np.abs(anchors.read(slice(1))[0][0, 0] - RGB @ LUMA).max() <= 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grey = folder(tmp_path / "grey", {"a.png": encode(image(GREY), "PNG")})
        assert not open_anchors(grey, sample_shape=(1, 6, 8)).notes


TURNS = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1],
         4: lambda a: a[::-1], 5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
         7: lambda a: np.rot90(a.swapaxes(0, 1), 2), 8: lambda a: np.rot90(a)}  # fmt: skip


@pytest.mark.parametrize("tag", TURNS)
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_pictures_are_turned_as_their_tag_says(tag, form, tmp_path):
    exif = Image.Exif()
    exif[274] = tag
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    options["TIFF"] = {"tiffinfo": {274: tag}}
    extra = options.get(form, {}) | ({} if form == "TIFF" else {"exif": exif})
    flat = np.kron(RGB[:2, :3], np.ones((8, 8, 1), np.uint8))  # blocks that JPEG keeps
    path = folder(tmp_path, {f"a.{form.lower()}": encode(image(flat), form, **extra)})
    right = TURNS[tag](flat)
    for shape in (None, (3, *right.shape[:2])):
        rows, failed = open_anchors(path, sample_shape=shape).read(slice(None))
        assert not failed
        assert rows.shape == (1, 3, *right.shape[:2])
        gap = np.abs(np.moveaxis(rows[0], 0, -1).astype(int) - right)
        assert gap.max() <= (60 if form == "JPEG" else 0)
        assert gap.mean() <= (4 if form == "JPEG" else 0)


def test_cmyk_is_read_as_colour(tmp_path):
    path = folder(tmp_path, {"a.tif": encode(image(RGB).convert("CMYK"), "TIFF")})
    rows, failed = open_anchors(path, sample_shape=(3, 6, 8)).read(slice(None))
    assert not failed
    np.testing.assert_array_equal(np.moveaxis(rows[0], 0, -1), RGB)  # ink without black is exact


SPLIT = np.zeros((4, 8), np.uint8)
SPLIT[:, 4:] = 200
RESIZES = {  # of a 4 x 8 picture, black and 200, to 4 x 4
    "crop": SPLIT[:, 2:6],
    True: SPLIT[:, 2:6],
    4: SPLIT[:, 2:6],
    "stretch": None,
    (4, 4): None,
    "pad": None,
}


@pytest.mark.parametrize("resize", RESIZES, ids=str)
def test_pictures_of_other_sizes_are_resized_as_asked(resize, tmp_path):
    path = folder(tmp_path, {"a.png": encode(image(SPLIT), "PNG")})
    for shape in ((1, 4, 4), (4, 4), (16,)):
        anchors = open_anchors(path, sample_shape=shape, resize=resize, background=100)
        rows, failed = anchors.read(slice(None))
        assert not failed
        assert rows.shape == (1, *shape)
        got = rows.reshape(4, 4)
        if RESIZES[resize] is not None:
            np.testing.assert_array_equal(got, RESIZES[resize])
        elif resize == "pad":  # two rows of the stated colour, above and below
            assert got[[0, 3]].tolist() == [[100] * 4] * 2
            assert got[1:3, 0].max() < 20
            assert got[1:3, 3].min() > 180
        else:
            assert got[:, 0].max() < 20
            assert got[:, 3].min() > 180
        assert any("resized" in note for note in anchors.notes)


def test_transforms_are_functions_or_steps_by_name(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    content = encode(image(RGB), "PNG")
    paths = [folder(tmp_path / "f", {"a.png": content}), str(tmp_path / "p.parquet")]
    parquet.write_table(pyarrow.table({"image": [{"bytes": content}]}), paths[1])
    first = np.moveaxis(RGB, -1, 0)
    cases = [
        (["mirror"], (3, 6, 8), first[:, :, ::-1]),
        (["flip", "invert"], (3, 6, 8), 255 - first[:, ::-1]),
        ([{"rotate": 90}], (3, 8, 6), np.rot90(first, axes=(1, 2))),
        ([{"center_crop": [4, 4]}], (3, 4, 4), first[:, 1:5, 2:6]),
        (lambda im: np.moveaxis(np.asarray(im, "f4") / 255, -1, 0), (3, 6, 8),
         (first.astype("f4") / 255)),
    ]  # fmt: skip
    for transform, shape, right in cases:
        for path in paths:
            anchors = open_anchors(path, sample_shape=shape, transform=transform)
            rows, failed = anchors.read(slice(None))
            assert not failed
            np.testing.assert_allclose(rows[0], right, rtol=1e-6)
            assert anchors.notes
    bad = open_anchors(paths[0], sample_shape=(3, 6, 8), transform=lambda im: np.zeros(5))
    assert "shape (5,)" in bad.read(slice(None))[1][0]


def test_options_that_are_not_allowed_are_refused(tmp_path):
    path = folder(tmp_path, {"a.png": encode(image(GREY), "PNG")})
    cases = [
        ({"resize": "fit"}, "resize"),
        ({"resize": (3, 3)}, "resize"),
        ({"resize": -1}, "resize"),
        ({"background": "no colour"}, "background"),
        ({"background": (1, 2)}, "background"),
        ({"background": 256}, "background"),
        ({"transform": ["mirrored"]}, "transform"),
        ({"transform": [{"rotate": 45}]}, "transform"),
        ({"transform": ["center_crop"]}, "transform"),
    ]
    for options, name in cases:
        with pytest.raises(ParameterError, match=name):
            open_anchors(path, sample_shape=(1, 6, 8), **options)
    with pytest.raises(AnchorError, match="to be resized"):
        open_anchors(GREY[None], sample_shape=(6, 8), resize="crop")
    with pytest.raises(ParameterError, match="resize"):
        open_anchors(path, sample_shape=(5,), resize="crop")


@pytest.mark.slow
def test_an_explanation_and_an_audit_say_what_was_done(tmp_path):
    files = {f"{k}.png": encode(image(np.dstack([GREY, HALF]), "LA"), "PNG") for k in range(4)}
    path = folder(tmp_path / "pictures", files)
    net = load_mnist_vae()
    anchors = open_anchors(path, sample_shape=(1, 28, 28), resize="stretch", background="white")
    explanation = (
        PXGen(VAE(net, sample_shape=(1, 28, 28)), threshold=Fixed(1.0)).fit().explain(anchors)
    )
    assert not len(explanation.invalid)
    (tmp_path / "a.yaml").write_text(
        "model: {shipped: mnist_vae}\n"
        "anchors: {path: pictures, resize: stretch, background: white}\n"
        "threshold: {name: Fixed, values: 1.0}\nconditions: []\noutput: run\n"
    )
    command = [Path(sys.executable).parent / "pxgen", "audit", tmp_path / "a.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    texts = [done.stdout, (tmp_path / "run" / "summary.md").read_text(), str(explanation.notes)]
    assert all("resized to the model's size by" in text for text in texts)
    assert '"resize": "stretch"' in (tmp_path / "run" / "manifest.json").read_text()
