"""A corpus of TIFFs, written by programs that know nothing of this one."""

import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio  # type: ignore[import-untyped]
import tifffile

from tests.servers.programs import Missing, find

SIDE = (230, 310)  # rows, columns: no multiple of any tile


def picture(samples: int = 1, dtype: str = "uint8", layer: int = 0) -> np.ndarray:
    """Return something between noise and a drawing: (rows, columns, samples)."""
    y, x = np.mgrid[: SIDE[0], : SIDE[1]]
    wave = (np.sin(x / 17 + layer) + np.cos(y / 23)) / 4 + 0.5
    noise = np.random.default_rng(layer).random((*SIDE, samples)) * 0.1
    field = np.clip(wave[..., None] * 0.9 + noise + np.arange(samples) * 0.02, 0, 1)
    if np.dtype(dtype).kind == "f":
        floats: np.ndarray = (field * 1000 - 300).astype(dtype)
        return floats
    bounds = np.iinfo(dtype)
    span = min(bounds.max - bounds.min, 1 << 40)
    whole: np.ndarray = (field * span + max(bounds.min, -(1 << 39))).astype(dtype)
    return whole


def gdal(path: Path, pixels: np.ndarray, **options: Any) -> None:
    """Write with GDAL."""
    rows, columns, samples = pixels.shape
    overviews = options.pop("overviews", [])
    profile = {
        "driver": "GTiff",
        "height": rows,
        "width": columns,
        "count": samples,
        "dtype": str(pixels.dtype),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", **{**profile, **options}) as file:
            file.write(np.moveaxis(pixels, -1, 0))
            if overviews:
                file.build_overviews(overviews, rasterio.enums.Resampling.average)


def _gdal_cases() -> dict[str, Callable[[Path], None]]:
    tiled = {"tiled": True, "blockxsize": 64, "blockysize": 48}
    cases: dict[str, Callable[[Path], None]] = {}

    def add(name: str, samples: int, dtype: str, **options: Any) -> None:
        cases["gdal-" + name] = lambda path: gdal(path, picture(samples, dtype), **options)

    for dtype in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"):
        add(f"deflate-{dtype}", 1, dtype, **tiled, compress="deflate", predictor=2)
        add(f"raw-{dtype}-be", 3, dtype, **tiled, endianness="big", interleave="band")
    for dtype in ("float32", "float64"):
        add(f"zstd-{dtype}", 2, dtype, **tiled, compress="zstd", predictor=3)
        add(f"lzw-{dtype}-be", 1, dtype, compress="lzw", predictor=3, endianness="big")
    for codec in ("lzw", "packbits", "lzma", "zstd", "deflate"):
        add(f"{codec}-strips", 3, "uint8", compress=codec, blockysize=7)
        add(f"{codec}-planes", 4, "uint16", compress=codec, interleave="band", **tiled)
    for bits in (1, 2, 4, 7, 12, 17, 24, 31):
        dtype = "uint8" if bits <= 8 else "uint16" if bits <= 16 else "uint32"
        for order in ("little", "big"):

            def odd(path: Path, bits: int = bits, dtype: str = dtype, order: str = order) -> None:
                stored = (picture(2, "uint32") >> (32 - bits)).astype(dtype)
                gdal(path, stored, nbits=bits, endianness=order, **tiled)

            cases[f"gdal-bits-{bits}-{order}"] = odd
    add("jpeg-ycbcr", 3, "uint8", **tiled, compress="jpeg", photometric="ycbcr")
    add("jpeg-rgb", 3, "uint8", **tiled, compress="jpeg", photometric="rgb")
    add("jpeg-grey-strips", 1, "uint8", compress="jpeg", blockysize=16)
    add("jpeg-planes", 3, "uint8", **tiled, compress="jpeg", interleave="band")
    for samples in (2, 4):
        add(f"jpeg-{samples}", samples, "uint8", **tiled, compress="jpeg")
    add("jpeg-cmyk", 4, "uint8", **tiled, compress="jpeg", photometric="cmyk")
    add("webp", 3, "uint8", **tiled, compress="webp", webp_lossless="yes")
    add("webp-alpha", 4, "uint8", **tiled, compress="webp", webp_lossless="yes")
    for codec in ("lerc", "lerc_deflate", "lerc_zstd"):
        add(codec, 1, "float32", **tiled, compress=codec)
        add(f"{codec}-bytes", 3, "uint8", **tiled, compress=codec)
    add("bigtiff", 1, "uint16", **tiled, bigtiff="yes")
    add("sparse", 1, "uint8", **tiled, sparse_ok="true", nodata=7)
    for codec in ("ccittrle", "ccittfax3", "ccittfax4"):

        def fax(path: Path, codec: str = codec) -> None:
            gdal(path, (picture() > 128).astype(np.uint8), nbits=1, compress=codec, blockysize=50)

        cases[f"gdal-{codec}"] = fax

    def sparse(path: Path) -> None:
        pixels = picture()
        pixels[:100, :200] = 7
        gdal(path, pixels, sparse_ok="true", nodata=7, compress="deflate", **tiled)

    cases["gdal-sparse-nodata"] = sparse
    add("overviews", 1, "uint16", **tiled, compress="deflate", overviews=[2, 4])
    add(
        "overviews-rgb", 3, "uint8", **tiled, compress="jpeg", photometric="ycbcr", overviews=[2, 4]
    )
    cases["gdal-cog"] = lambda path: gdal(
        path, picture(3), driver="COG", compress="deflate", blocksize=128
    )
    return cases


def _tifffile_cases() -> dict[str, Callable[[Path], None]]:
    cases: dict[str, Callable[[Path], None]] = {}

    def stack(path: Path, **options: Any) -> None:
        with tifffile.TiffWriter(path, bigtiff=True) as file:
            for layer in range(5):
                file.write(picture(1, "uint16", layer)[..., 0], contiguous=False, **options)

    cases["tifffile-stack"] = lambda path: stack(path, tile=(64, 48), compression="zlib")
    cases["tifffile-stack-strips"] = lambda path: stack(path, rowsperstrip=9)

    def pyramid(path: Path) -> None:
        with tifffile.TiffWriter(path, ome=True) as file:
            for layer in range(3):
                full = picture(1, "uint16", layer)[..., 0]
                options: dict[str, Any] = {"tile": (64, 64), "compression": "zlib"}
                file.write(full, subifds=2, contiguous=False, **options)
                file.write(full[::2, ::2], subfiletype=1, **options)
                file.write(full[::4, ::4], subfiletype=1, **options)

    cases["tifffile-pyramid"] = pyramid

    def save(name: str, pixels: np.ndarray, **options: Any) -> None:
        def one(path: Path) -> None:
            tifffile.imwrite(path, pixels, **options)

        cases[f"tifffile-{name}"] = one

    lossless = {"compression": "jpeg2000", "compressionargs": {"level": 0}}
    save("jpeg2000", picture(3), photometric="rgb", tile=(64, 48), **lossless)
    save("half", picture(1, "float16")[..., 0], compression="zlib", predictor=3)
    both = picture(1, "float32") + 1j * picture(1, "float32", 1)
    save("complex", both[..., 0], compression="zlib")
    return cases


def _program_cases() -> dict[str, Callable[[Path], None]]:
    cases: dict[str, Callable[[Path], None]] = {}

    def by(program: str, name: str, *options: str, samples: int = 3) -> None:
        def write(path: Path) -> None:
            source = path.with_suffix(".source.tif")
            stored = picture(samples)
            tifffile.imwrite(source, stored if samples > 1 else stored[..., 0])
            if program == "vips":
                command = [find("vips"), "tiffsave", str(source), str(path), *options]
            else:
                command = [find("convert"), str(source), *options, str(path)]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            source.unlink()

        cases[f"{program}-{name}"] = write

    tile = ("--tile", "--tile-width=64", "--tile-height=48")
    by("vips", "jpeg", *tile, "--compression=jpeg", "--Q=90")
    by("vips", "lzw", "--compression=lzw", "--predictor=horizontal")
    by("vips", "zstd", *tile, "--compression=zstd", "--bigtiff")
    by("vips", "webp", *tile, "--compression=webp", "--lossless")
    by("vips", "packbits", "--compression=packbits", samples=1)
    by("vips", "pyramid", *tile, "--pyramid", "--compression=deflate")
    by("vips", "subifd", *tile, "--pyramid", "--subifd", "--compression=deflate")
    by("vips", "fax", "--bitdepth=1", "--compression=ccittfax4", samples=1)
    by("convert", "lzw", "-compress", "lzw")
    by("convert", "zip", "-compress", "zip", "-depth", "16", "-endian", "msb")
    by("convert", "rle", "-compress", "rle", "-define", "tiff:rows-per-strip=11")
    by("convert", "jpeg", "-compress", "jpeg", "-quality", "90")
    by("convert", "tiles", "-compress", "zip", "-define", "tiff:tile-geometry=64x48")
    by("convert", "group4", "-threshold", "50%", "-compress", "group4", samples=1)
    by("convert", "fax", "-threshold", "50%", "-compress", "fax", samples=1)
    lsb = ("-define", "tiff:fill-order=lsb", "-threshold", "50%")
    by("convert", "lsb", *lsb, "-compress", "none", samples=1)
    by("convert", "palette", "-colors", "60", "-type", "palette", "-compress", "none")
    floats = ("-depth", "32", "-define", "quantum:format=floating-point")
    by("convert", "float", *floats, "-compress", "zip")
    by("convert", "separate", "-interlace", "plane", "-compress", "lzw")
    return cases


CASES = {**_gdal_cases(), **_tifffile_cases(), **_program_cases()}


def write(folder: Path) -> dict[str, Path]:
    """Write all of it that this machine can write, and return the files by name."""
    found = {}
    for name, make in CASES.items():
        path = folder / f"{name}.tif"
        try:
            make(path)
        except Missing:
            continue
        found[name] = path
    return found
