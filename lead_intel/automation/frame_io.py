"""The IO manager: hands frames from stage to stage as Parquet, one file per asset and upload."""

from __future__ import annotations

import dagster as dg
import pandas as pd

from lead_intel.errors import SetupError
from lead_intel.failures import without_personal_data
from lead_intel.record.frames import frame_path, read_frame, write_frame
from lead_intel.settings import load_settings


class FrameIO(dg.ConfigurableIOManager):
    """Parquet frames under `<home>/frames/<asset>/<upload>.parquet`."""

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame | None) -> None:
        """Write the frame whole or not at all; an asset without a frame writes nothing."""
        if obj is None:
            return
        with without_personal_data():
            folder = load_settings().frames_dir
            path = write_frame(folder, _asset(context), context.asset_partition_key, obj)
            context.add_output_metadata({"frame": dg.MetadataValue.path(str(path.relative_to(folder)))})

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        """Read the frame of the run's upload."""
        with without_personal_data():
            folder, asset, upload = load_settings().frames_dir, _asset(context), context.asset_partition_key
            if not frame_path(folder, asset, upload).exists():
                raise SetupError(
                    "frame_missing",
                    f"The frame of {asset} for {upload} is not there.",
                    f"Materialize {asset} for this upload first, or run the list again.",
                )
            return read_frame(folder, asset, upload)


def _asset(context: dg.OutputContext | dg.InputContext) -> str:
    return "/".join(context.asset_key.path)
