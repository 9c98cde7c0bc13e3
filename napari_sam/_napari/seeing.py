"""What the model is shown of the images: which part, which of them, in what colours."""

from __future__ import annotations

from collections.abc import Sequence

from napari.layers import Image

from napari_sam._napari.placement import shown_box
from napari_sam._napari.reading import Region, choose_region, is_whole, make_view
from napari_sam.session.plane import Plane
from napari_sam.session.view import ImageView


class Seeing:
    """Makes the views of an image, and knows when one is out of date.

    Attributes
    ----------
    as_displayed : bool
        Colours with the layer's contrast limits and gamma, not its samples.
    mixed : bool
        All visible images of the same shape together, as displayed.
    """

    def __init__(self) -> None:
        self.as_displayed = False
        self.mixed = False
        self._version = 0

    def data_changed(self) -> None:
        """Take what was read before for old."""
        self._version += 1

    def view(
        self,
        image: Image,
        images: Sequence[Image],
        plane: Plane,
        last: ImageView | None,
    ) -> ImageView:
        """Return what the model is to see of a plane.

        Parameters
        ----------
        image : Image
            What is worked on.
        images : sequence of Image
            All of the viewer.
        plane : Plane
        last : ImageView or None
            What it sees now; returned if that holds what is on screen.
        """
        region = choose_region(image, plane)
        if last is None or last.plane != plane:
            return self._view(image, images, plane, region)
        if is_whole(image, plane):
            view = self._view(image, images, plane, region)
            return last if view.key == last.key else view
        seen, box = shown_box(image, plane), last.box
        inside = seen[0] >= box[0] and seen[1] >= box[1]
        inside = inside and seen[2] <= box[2] and seen[3] <= box[3]
        if inside and last.frame.step == region.frame.step:
            return last
        return self._view(image, images, plane, region)

    def _view(
        self, image: Image, images: Sequence[Image], plane: Plane, region: Region
    ) -> ImageView:
        return make_view(
            [image, *self._mixed_in(image, images)],
            plane,
            region,
            as_displayed=self.as_displayed,
            version=self._version,
        )

    def _mixed_in(self, image: Image, images: Sequence[Image]) -> list[Image]:
        """Return the images that are seen together with one."""
        return [
            each
            for each in images
            if self.mixed
            and each is not image
            and each.visible
            and each.data.shape == image.data.shape
        ]
