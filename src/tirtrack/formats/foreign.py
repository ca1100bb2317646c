"""Thermal file formats that cannot be read, by name, and the tools that export them.

They are recognised by their first bytes or by the ending of their name. The error says what the
file is and how to convert it, instead of "no image".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tirtrack.errors import FrameError

__all__ = ["CAMERA_FILES", "FOREIGN", "ForeignFormat", "foreign_format", "refusal"]

_TIFF_16 = "as 16-bit TIFF or PNG"
_FLIR = f"export it with FLIR Thermal Studio or Research Studio {_TIFF_16}"
_PYTHON = "save the frames with numpy as FILE.npy, [T,H,W]"


@dataclass(frozen=True)
class ForeignFormat:
    """A format that is named and refused.

    Attributes:
        name: the format, and who writes it.
        fix: advice on how to export or convert it.
        suffixes: endings of its files.
        magic: first bytes of its files.
    """

    name: str
    fix: str
    suffixes: tuple[str, ...]
    magic: tuple[bytes, ...] = ()


FOREIGN = (
    ForeignFormat("a FLIR SEQ recording", _FLIR, (".seq",)),
    ForeignFormat("a FLIR CSQ recording", _FLIR, (".csq",)),
    ForeignFormat("a FLIR ATS recording", f"export it with FLIR Research Studio {_TIFF_16}",
                  (".ats",)),
    ForeignFormat("a FLIR SFMOV recording", f"export it with FLIR Research Studio {_TIFF_16}",
                  (".sfmov",)),
    ForeignFormat("a FLIR PTW recording (Cedip Altair)",
                  f"export it with FLIR Research Studio or Altair {_TIFF_16}", (".ptw",),
                  (b"CED\0",)),
    ForeignFormat("a FLIR FFF file", _FLIR, (".fff", ".fcf"), (b"FFF\0", b"AFF\0")),
    ForeignFormat("an InfraTec IRB file", f"export it with IRBIS {_TIFF_16}", (".irb",),
                  (b"\xffIRB\0",)),
    ForeignFormat("a Fluke IS2 image", f"export it with SmartView or Fluke Connect {_TIFF_16}",
                  (".is2",)),
    ForeignFormat("a Fluke IS3 video", f"export it with SmartView or Fluke Connect {_TIFF_16}",
                  (".is3",)),
    ForeignFormat("an Optris RAVI video", f"export it with PIX Connect {_TIFF_16}", (".ravi",)),
    ForeignFormat("a testo BMT image", f"export it with IRSoft {_TIFF_16}", (".bmt",)),
    ForeignFormat("an InfiRay IRG image", f"export it with the program of its camera {_TIFF_16}",
                  (".irg",)),
    ForeignFormat("a HEIC or AVIF picture", "convert it to PNG or JPEG",
                  (".heic", ".heif", ".avif")),
    ForeignFormat("a JPEG XL picture", "convert it to PNG with djxl", (".jxl",),
                  (b"\xff\x0a", b"\0\0\0\x0cJXL ")),
    ForeignFormat("a camera's raw picture", "export it as TIFF or PNG with its maker's program",
                  (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2")),
    ForeignFormat("a PAM picture", "convert it with pamtopnm to PGM or PPM", (".pam",), (b"P7\n",)),
    ForeignFormat("a PFM picture", "convert it to a float TIFF or FILE.npy", (".pfm",),
                  (b"Pf\n", b"PF\n")),
    ForeignFormat("an OpenEXR picture", "convert it to a float TIFF", (".exr",),
                  (b"v/1\x01",)),
    ForeignFormat("a FITS file", _PYTHON, (".fits", ".fit", ".fts"), (b"SIMPLE  =",)),
    ForeignFormat("an HDF5 or MATLAB 7.3 file", _PYTHON, (".h5", ".hdf5", ".hdf"),
                  (b"\x89HDF\r\n\x1a\n",)),
    ForeignFormat("a MATLAB file", _PYTHON, (".mat",), (b"MATLAB 5.0 MAT-file",)),
    ForeignFormat("a DICOM file", f"export it {_TIFF_16}", (".dcm",)),
    ForeignFormat(
        "a table of text",
        "make it a frame: np.save('0001.npy', np.loadtxt('0001.csv', delimiter=','))",
        (".csv", ".tsv", ".txt", ".asc"),
    ),
    ForeignFormat("a spreadsheet", "export its values as CSV, and make them a frame with numpy: "
                  "np.save('0001.npy', np.loadtxt('0001.csv', delimiter=','))",
                  (".xls", ".xlsx", ".ods")),
    ForeignFormat(
        "raw frames without a header",
        "pipe them in: tirtrack track - --size WxH --pixel-format gray16le < FILE",
        (".dat", ".gray16"),
    ),
    ForeignFormat("a ZIP archive", "unpack it", (".zip",), (b"PK\x03\x04",)),
    ForeignFormat("a PDF", "export its picture as PNG", (".pdf",), (b"%PDF",)),
)  # fmt: skip
"""The formats that are named and refused; docs/formats.md lists the same."""

CAMERA_FILES = frozenset({
    ".seq", ".csq", ".ats", ".sfmov", ".ptw", ".fff", ".fcf", ".irb", ".is2", ".is3", ".ravi",
    ".bmt", ".irg",
})  # fmt: skip
"""Endings of these formats that thermal cameras alone write."""

_BOX_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")


def foreign_format(head: bytes, suffix: str) -> ForeignFormat | None:
    """The format of a file by its first 16 bytes, or else by the ending of its name."""
    if head[4:8] == b"ftyp" and head[8:12] in _BOX_BRANDS:
        return next(one for one in FOREIGN if ".heic" in one.suffixes)
    named = next((one for one in FOREIGN if suffix.lower() in one.suffixes), None)
    if named is not None:
        return named
    return next((one for one in FOREIGN if head.startswith(one.magic)), None)


def refusal(path: Path, head: bytes) -> FrameError | None:
    """The error for a file of a format that is named and refused; ``None`` for another one."""
    found = foreign_format(head, path.suffix)
    return None if found is None else FrameError(f"{found.name} cannot be read", path, found.fix)
