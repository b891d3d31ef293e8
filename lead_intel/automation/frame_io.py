"""The IO manager: hands frames from stage to stage as Parquet, one file per asset and upload."""

from __future__ import annotations

import dagster as dg
import pandas as pd

from lead_intel.record.frames import frame_path, read_frame, write_frame
from lead_intel.settings import load_settings


class FrameIO(dg.ConfigurableIOManager):
    """Parquet frames under `<home>/frames/<asset>/<upload>.parquet`."""

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame | None) -> None:
        """Write the frame whole or not at all; an asset without a frame writes nothing."""
        if obj is None:
            return
        folder = load_settings().frames_dir
        path = write_frame(folder, _asset(context), context.asset_partition_key, obj)
        context.add_output_metadata({"frame": dg.MetadataValue.path(str(path.relative_to(folder)))})

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        """Read the frame of the run's upload."""
        folder, asset, upload = load_settings().frames_dir, _asset(context), context.asset_partition_key
        if not frame_path(folder, asset, upload).exists():
            sentence = f"The frame of {asset} for {upload} is not there: materialize {asset} for this upload first."
            raise dg.Failure(sentence, allow_retries=False)
        return read_frame(folder, asset, upload)


def _asset(context: dg.OutputContext | dg.InputContext) -> str:
    return "/".join(context.asset_key.path)
