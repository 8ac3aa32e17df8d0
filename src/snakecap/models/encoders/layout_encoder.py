"""What every encoder of layouts is: objects to a summary and regions.

Dimensions: B pictures, R objects, K categories, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from snakecap.models.encoded import Encoded


class LayoutEncoder(nn.Module):
    """Base class.

    Args:
        width: D.
        categories: K.
        location: read boxes too.
        box_dropout: on the numbers of each box.
    """

    def forward(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Encode a batch.

        Args:
            inputs: ``categories`` ids of shape (B, R), 0 behind the last object, and ``boxes`` of
                shape (B, R, 4), in 0..1.
        """
        raise NotImplementedError
