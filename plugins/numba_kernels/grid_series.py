"""A time series of cell values on a square grid for ParaView: VTK image data, and a collection over time.

Formats: https://docs.vtk.org/en/latest/vtk_file_formats/vtkxml_file_format.html
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import OutputError
from cosolve.core.sources import source_code


class GridSeries:
    """Writes `NAME.pvd` and beside it one `.vti` file for each time, with the field `source`.

    Args:
        stem: Path without suffix.
        n: Cells along each side of the unit square.
        names: Names of the fields.

    Raises:
        OutputError: The folder cannot be written.
    """

    def __init__(self, stem: Path, n: int, names: Sequence[str]) -> None:
        self.path = stem.with_suffix(".pvd")
        self.names: Sequence[str] = list(names)
        self._stem, self._n = stem, n
        self._files: list[tuple[float, str]] = []
        self._write_collection()

    def write(self, t: float, fields: Mapping[str, Array], source: str = "") -> None:
        """Write fields of shape `(n * n,)` at time `t`, and who computed them.

        Raises:
            OutputError: The file cannot be written.
        """
        n = self._n
        planes = dict(fields)
        planes["source"] = np.full(n * n, float(source_code(source)))
        # Values lie row by row with x first; VTK runs through x fastest.
        arrays = "".join(_data_array(name, np.asarray(v).reshape(n, n).T.ravel()) for name, v in planes.items())
        text = (
            '<?xml version="1.0"?>\n'
            '<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64" '
            'compressor="vtkZLibDataCompressor">\n'
            f'<ImageData WholeExtent="0 {n} 0 {n} 0 0" Origin="0 0 0" Spacing="{1 / n!r} {1 / n!r} 1">\n'
            f'<Piece Extent="0 {n} 0 {n} 0 0"><CellData>\n{arrays}</CellData></Piece>\n</ImageData>\n</VTKFile>\n'
        )
        name = f"{self._stem.name}_{len(self._files):05d}.vti"
        self._write(self._stem.with_name(name), text)
        self._files.append((t, name))
        self._write_collection()

    def close(self) -> None:
        """Do nothing: every file is complete after each `write`."""

    def _write_collection(self) -> None:
        rows = "".join(f'<DataSet timestep="{t!r}" file={quoteattr(name)}/>\n' for t, name in self._files)
        text = f'<?xml version="1.0"?>\n<VTKFile type="Collection" version="1.0">\n<Collection>\n{rows}</Collection>\n'
        self._write(self.path, text + "</VTKFile>\n")

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error}. Choose a writable output folder.") from error


def _data_array(name: str, values: Array) -> str:
    raw = np.ascontiguousarray(values, dtype="<f4").tobytes()
    packed = zlib.compress(raw, 6)
    # One block: number of blocks, its size, no partial block, its compressed size; then the block.
    header = struct.pack("<4Q", 1, len(raw), 0, len(packed))
    encoded = base64.b64encode(header).decode() + base64.b64encode(packed).decode()
    return f'<DataArray type="Float32" Name={quoteattr(name)} format="binary">{encoded}</DataArray>\n'
