"""Any array a microscope makes becomes three channels, or a clear error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from napari_sam.errors import ImageError
from napari_sam.inference.preprocess import NORMALISATIONS, to_model_image

REAL_DTYPES = [
    *(np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(np.dtype(f"float{bits}") for bits in (16, 32, 64)),
    np.dtype(bool),
]


def ramp(height: int = 20, width: int = 30) -> NDArray[np.float64]:
    return np.linspace(0, 1, height * width).reshape(height, width)


@given(
    st.sampled_from(REAL_DTYPES).flatmap(
        lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=2, max_dims=2))
    ),
    st.sampled_from(NORMALISATIONS),
)
def test_any_real_plane_is_in_range(image: NDArray[Any], normalisation: str) -> None:
    result = to_model_image(image, normalisation=normalisation)
    assert result.shape == (3, *image.shape)
    assert result.dtype == np.float32
    top = 1 if normalisation == "pocket" else 255
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= top
    np.testing.assert_array_equal(result[0], result[2])


@pytest.mark.parametrize("channels", [1, 3])
def test_sam_takes_8_bit_pixels_as_they_are(channels: int) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = np.stack([values + 7 * i for i in range(channels)], axis=-1)
    result = to_model_image(np.squeeze(image), normalisation="sam")
    np.testing.assert_array_equal(result, image.transpose(2, 0, 1) * np.ones((3, 1, 1)))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_the_scale_of_the_numbers_does_not_matter(
    dtype: type, normalisation: str
) -> None:
    small = (ramp() * 4095).astype(np.uint16)
    expected = to_model_image(small, normalisation=normalisation)
    large = (small * np.uint16(7) + np.uint16(100)).astype(dtype)
    result = to_model_image(large, normalisation=normalisation)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_large_integers_keep_their_contrast() -> None:
    image = (2**62 + np.arange(600) * 2**20).reshape(20, 30)
    result = to_model_image(image, normalisation="micro_sam")
    assert len(np.unique(result)) == 256


def test_the_whole_range_of_floats_does_not_overflow() -> None:
    limit = np.finfo(np.float64).max
    image = np.array([[-limit, 0.0], [limit, 0.0]])
    result = to_model_image(image, normalisation="micro_sam")
    np.testing.assert_array_equal(result[0], [[0, 128], [255, 128]])


@pytest.mark.parametrize("normalisation", ["sam", "pocket"])
def test_a_hot_pixel_does_not_darken_the_rest(normalisation: str) -> None:
    image = (ramp(50, 50) * 1000).astype(np.uint16)
    expected = to_model_image(image, normalisation=normalisation)
    image[10, 10] = 65535
    result = to_model_image(image, normalisation=normalisation)
    rest = np.ones(image.shape, dtype=bool)
    rest[10, 10] = False
    np.testing.assert_allclose(
        result[:, rest] / expected.max(), expected[:, rest] / expected.max(), atol=0.01
    )


def test_a_few_bright_pixels_on_black_stay_visible() -> None:
    image = np.zeros((100, 100), dtype=np.uint16)
    image[40:42, 40] = 900
    result = to_model_image(image, normalisation="pocket")
    assert result[0, 40, 40] == 1
    assert result.sum() == 6


def test_not_a_number_is_dark_and_infinity_bright() -> None:
    image = ramp().astype(np.float32)
    image[0, :3] = np.nan, -np.inf, np.inf
    result = to_model_image(image, normalisation="micro_sam")
    np.testing.assert_array_equal(result[0, 0, :3], [0, 0, 255])


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_a_constant_image_is_black(value: float, normalisation: str) -> None:
    image = np.full((5, 6), value)
    assert not to_model_image(image, normalisation=normalisation).any()


def test_pocket_stretches_all_channels_together() -> None:
    image = np.stack([ramp(), ramp() / 2, ramp() / 4], axis=-1)
    result = to_model_image(image, normalisation="pocket")
    assert result.max(axis=(1, 2)) == pytest.approx([1, 0.5, 0.25], abs=0.02)


def test_micro_sam_stretches_each_channel() -> None:
    image = np.stack([ramp(), ramp() / 2, ramp() / 4 + 3], axis=-1)
    result = to_model_image(image, normalisation="micro_sam")
    np.testing.assert_array_equal(result.max(axis=(1, 2)), 255)
    np.testing.assert_array_equal(result.min(axis=(1, 2)), 0)


def test_alpha_is_ignored() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (8, 9, 4), dtype=np.uint8)
    np.testing.assert_array_equal(
        to_model_image(colour, normalisation="sam"),
        to_model_image(colour[..., :3], normalisation="sam"),
    )


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_channel_axis_may_be_anywhere(axis: int, count: int) -> None:
    channels = np.random.default_rng(0).random((count, 8, 9))
    image = np.moveaxis(channels, 0, axis)
    np.testing.assert_array_equal(
        to_model_image(image, normalisation="pocket", channel_axis=axis),
        to_model_image(channels, normalisation="pocket", channel_axis=0),
    )


def test_no_channel_is_lost_and_none_invented() -> None:
    image = np.zeros((5, 1, 5), dtype=np.uint8)
    image[range(5), 0, range(5)] = 200
    result = to_model_image(image, normalisation="sam", channel_axis=0)
    expected = np.zeros((3, 1, 5))
    expected[[0, 1, 2, 0, 1], 0, range(5)] = 200
    np.testing.assert_array_equal(result, expected)


def test_the_channel_map_chooses_colours() -> None:
    image = np.arange(4, dtype=np.uint8).reshape(4, 1, 1)
    result = to_model_image(
        image, normalisation="sam", channel_axis=0, channel_map=(3, None, 1)
    )
    np.testing.assert_array_equal(result.ravel(), [3, 0, 1])


def test_contrast_limits_and_gamma_are_as_displayed() -> None:
    image = np.array([[0, 100, 150, 200, 1000]], dtype=np.uint16)
    result = to_model_image(
        image, normalisation="pocket", contrast_limits=(100, 200), gamma=2
    )
    np.testing.assert_allclose(result[0, 0], [0, 0, 0.25, 1, 1])


def test_contrast_limits_may_differ_between_channels() -> None:
    image = np.array([[[5]], [[50]]], dtype=np.uint16)
    result = to_model_image(
        image,
        normalisation="pocket",
        channel_axis=0,
        contrast_limits=[(0, 10), (0, 200)],
    )
    np.testing.assert_allclose(result.ravel(), [0.5, 0.25, 0])


@pytest.mark.parametrize(
    ("shape", "channel_axis"),
    [((1, 6, 7), None), ((6, 7, 1), None), ((1, 6, 7, 3), None), ((2, 1, 6, 7), 0)],
)
def test_axes_of_length_one_are_dropped(
    shape: tuple[int, ...], channel_axis: int | None
) -> None:
    image = np.zeros(shape, dtype=np.uint8)
    result = to_model_image(image, normalisation="sam", channel_axis=channel_axis)
    assert result.shape == (3, 6, 7)


def test_a_line_of_pixels_stays_a_plane() -> None:
    image = np.zeros((1, 9), dtype=np.uint8)
    assert to_model_image(image, normalisation="sam").shape == (3, 1, 9)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((4, 4), dtype=complex), "complex128 cannot be segmented"),
        (np.array([[None, 1]], dtype=object), "object cannot be segmented"),
        (np.array([["a", "b"]]), "cannot be segmented"),
        (np.zeros((4, 4), dtype="datetime64[s]"), "cannot be segmented"),
        ([[1, 2], [3]], "differ in length"),
        (np.zeros((0, 4)), "is empty"),
        (np.zeros((4, 4, 0)), "is empty"),
        (np.float64(3), "one plane"),
        (np.zeros(5), "one plane"),
        (np.zeros((5, 6, 7)), "channel_axis"),
        (np.zeros((2, 5, 6, 7)), "channel_axis"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        to_model_image(image, normalisation="sam")


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"channel_axis": 3}, "channel_axis 3 does not exist"),
        ({"channel_axis": 0, "channel_map": (0, 1)}, "channel_map must be 3"),
        ({"channel_axis": 0, "channel_map": (0, 1, 5)}, "under 5"),
        ({"channel_axis": 0, "channel_map": (0, 1, -1)}, "channel_map must be 3"),
        ({"channel_axis": 0, "contrast_limits": (5, 5)}, "the low one first"),
        ({"channel_axis": 0, "contrast_limits": (0, np.nan)}, "must be finite"),
        ({"channel_axis": 0, "contrast_limits": [(0, 1)] * 2}, "each of the 5"),
        ({"channel_axis": 0, "contrast_limits": "auto"}, "must be two numbers"),
        ({"channel_axis": 0, "gamma": 0}, "gamma must be a positive"),
        ({"channel_axis": 0, "gamma": np.nan}, "gamma must be a positive"),
        ({"channel_axis": 0, "normalisation": "other"}, "Unknown normalisation"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(
    setting: dict[str, Any], reason: str
) -> None:
    settings = {"normalisation": "sam"} | setting
    with pytest.raises(ImageError, match=reason):
        to_model_image(np.zeros((5, 6, 7)), **settings)


def test_the_image_is_not_changed() -> None:
    image = ramp()
    image[0, 0] = np.nan
    before = image.copy()
    to_model_image(image, normalisation="pocket", contrast_limits=(0.2, 0.4))
    np.testing.assert_array_equal(image, before)
