"""The files that `geo` writes: checked before the work, written under hidden names, renamed when all are complete."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cimnet.data.io.local_rasters import RASTERS_BESIDE, raster_files
from cimnet.deploy.geo.polygons import require_geopackage
from cimnet.errors import CimnetError, ConfigError, one_line
from cimnet.utils.files import refuse_inputs_as_outputs, require_writable_file, resolved
from cimnet.utils.locks import OutputLock


@dataclass(frozen=True)
class Outputs:
    """The names of what one call writes.

    Attributes:
        classes: GeoTIFF of class ids.
        polygons: GeoPackage; None: not requested.
        areas: CSV; None: not requested.
    """

    classes: Path
    polygons: Path | None
    areas: Path | None

    @property
    def asked(self) -> list[Path]:
        """The files that the user named: never replaced without `overwrite`. The raster comes last, after all
        others."""
        return [path for path in (self.polygons, self.areas, self.classes) if path is not None]

    @property
    def styles(self) -> list[Path]:
        """The style files for QGIS, beside the raster and the polygons; one if these have the same name."""
        return sorted({path.with_suffix(".qml") for path in (self.classes, self.polygons or self.classes)})

    @property
    def names(self) -> Path:
        """The file from which GDAL takes the names of the classes."""
        return self.classes.with_name(f"{self.classes.name}.aux.xml")

    @property
    def stale(self) -> list[Path]:
        """Overviews and masks beside the raster, which GDAL would show in place of its own: of another raster that had
        its name."""
        beside = [self.classes.with_name(f"{self.classes.name}{ending}") for ending in RASTERS_BESIDE]
        return [path for path in beside if path.exists()]

    @property
    def all(self) -> list[Path]:
        """All files, in the order in which they get their names."""
        return [*self.styles, self.names, *self.asked]

    def check(self, rgb: Path, thermal: Path) -> None:
        """Refuse, before the work, names that could not be written at its end. Creates nothing.

        Raises:
            ConfigError: a name that is taken by another output or an input, or that GDAL would not take as it is.
            DataError: see :func:`cimnet.data.io.local_rasters.raster_files`.
            CimnetError: a folder that cannot be written.
        """
        self._check_names([rgb, thermal])
        for path in self.all:
            require_writable_file(path)
        refuse_inputs_as_outputs(self.all, [*raster_files(rgb), *raster_files(thermal)])
        if self.classes.suffix.lower() not in (".tif", ".tiff"):
            raise ConfigError(f"{self.classes}: written as GeoTIFF; give a name that ends in .tif")
        if self.polygons is not None:
            require_geopackage(self.polygons)

    def _check_names(self, inputs: list[Path]) -> None:
        written = [resolved(path) for path in self.all]
        taken = {resolved(path) for image in inputs for path in (image, image.with_suffix(".qml"))}
        if len(set(written)) < len(written) or taken.intersection(written):
            raise ConfigError(
                f"{self.classes}: outputs need names of their own, not those of the inputs; nor may their styles for "
                f"QGIS, {', '.join(path.name for path in self.styles)}, be those of an input"
            )
        for path in self.asked:
            try:
                str(path.absolute()).encode()
            except UnicodeEncodeError:
                raise ConfigError(f"{path}: a name that is not UTF-8, which GDAL cannot write; rename it") from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """No other process writes any of them meanwhile; what a killed one left of them is removed."""
        with ExitStack() as stack:
            for path in (*self.asked, *self.styles):
                stack.enter_context(OutputLock.beside(path))
            for path in self.all:
                for left in _leftovers(path):
                    left.unlink(missing_ok=True)
            yield


@contextmanager
def staged(paths: Sequence[Path]) -> Iterator[dict[Path, Path]]:
    """A hidden name beside each path, to write to; files that still have such a name at the end are removed.

    Raises:
        CimnetError: an OSError inside, as one line.
    """
    hidden = {path: path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}") for path in paths}
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield hidden
    finally:
        for path in paths:
            for left in _leftovers(path):
                left.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say of a failure, GDAL's or the system's, which output it is about.

    Raises:
        CimnetError: one line; what is done is kept.
    """
    try:
        yield
    except CimnetError:
        raise
    except Exception as error:  # GDAL, through two libraries, has no common error
        reason = one_line(error)
        raise CimnetError(
            f"{path}: cannot be written ({reason}); what is done is kept: choose another folder or free space, and "
            "repeat the command"
        ) from error


def _leftovers(path: Path) -> list[Path]:
    """Hidden files of an output and what SQLite and GDAL put beside them, such as .NAME.PID.part.gpkg-journal."""
    hidden = re.compile(rf"\.{re.escape(path.stem)}\.\d+\.part{re.escape(path.suffix)}(-\w+|\.\w.*)?", re.DOTALL)
    folder = path.absolute().parent
    return [entry for entry in folder.iterdir() if hidden.fullmatch(entry.name)] if folder.is_dir() else []
