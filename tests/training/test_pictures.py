"""Pictures: every pixel of a small one is known."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from genloss_jax.training import pictures


class TestGrid:
    def test_lays_images_out_in_rows_with_white_between(self):
        images = np.stack([np.full((1, 2, 1), value) for value in (-1.0, 0.0, 1.0)])
        sheet = pictures.grid(images, columns=2)
        np.testing.assert_array_equal(
            sheet[..., 0],
            [[0, 0, 255, 128, 128], [255, 255, 255, 255, 255], [255, 255, 255, 255, 255]],
        )
        assert sheet.dtype == np.uint8

    def test_is_as_square_as_can_be(self):
        assert pictures.grid(jnp.zeros((10, 8, 8, 3))).shape == (3 * 9 - 1, 4 * 9 - 1, 3)

    def test_clips_and_shows_broken_pixels_black(self):
        sheet = pictures.grid(np.array([-9.0, 9.0, np.nan, np.inf], np.float32).reshape(1, 2, 2, 1))
        np.testing.assert_array_equal(sheet[..., 0], [[0, 255], [0, 255]])

    @pytest.mark.parametrize("shape", [(8, 8, 1), (0, 8, 8, 1), (2, 8, 8, 2)])
    def test_other_shapes_are_refused_by_name(self, shape):
        with pytest.raises(ValueError, match=r"images must be \[N, H, W, C\].*got shape"):
            pictures.grid(np.zeros(shape))


class TestScatter:
    def test_draws_samples_where_they_are(self):
        real = np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
        image = pictures.scatter(np.tile([[0.9, -0.9]], (50, 1)), real).astype(int)
        red = (image[..., 0] > 150) & (image[..., 1] < 100)
        rows, columns = np.nonzero(red[100:])  # Below the legend.
        assert rows.size > 0
        assert rows.mean() + 100 > 256 and columns.mean() > 256

    def test_leaves_out_what_is_not_finite(self):
        points = np.array([[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
        np.testing.assert_array_equal(pictures.scatter(points), pictures.scatter(points[:1]))


class TestHistogram:
    def test_counts_samples_where_they_are(self):
        image = pictures.histogram(np.full((50, 1), 0.9), np.linspace(-1.0, 1.0, 50)[:, None]).astype(int)
        red = (image[..., 0] > 150) & (image[..., 1] < 100)
        columns = np.nonzero(red[100:])[1]  # below the legend
        assert columns.size > 0 and columns.min() > 400

    def test_leaves_out_what_is_not_finite(self):
        points = np.array([[0.0], [np.nan], [np.inf]])
        np.testing.assert_array_equal(pictures.histogram(points), pictures.histogram(points[:1]))


class TestPicture:
    def test_chooses_by_shape(self):
        images = np.zeros((4, 8, 8, 1))
        points = np.random.default_rng(0).normal(size=(20, 2))
        np.testing.assert_array_equal(pictures.picture(images, images), pictures.grid(images))
        np.testing.assert_array_equal(pictures.picture(points, points), pictures.scatter(points, points))
        line = points[:, :1]
        np.testing.assert_array_equal(pictures.picture(line, line), pictures.histogram(line, line))

    def test_refuses_what_it_cannot_draw(self):
        with pytest.raises(ValueError, match=r"samples must be .* got shape \(5, 3\)"):
            pictures.picture(np.zeros((5, 3)))


class TestSideBySide:
    def test_sets_each_picture_into_its_place(self):
        shades = {"dark": 50, "grey": 120, "light": 200}
        named = {name: np.full((4, 4, 1), shade, np.uint8) for name, shade in shades.items()}
        sheet = pictures.side_by_side(named, columns=2, pixels=100)
        assert sheet.shape == (240, 200, 3)
        places = {"dark": (70, 50), "grey": (70, 150), "light": (190, 50)}
        assert {name: tuple(sheet[place]) for name, place in places.items()} == {
            name: (shade,) * 3 for name, shade in shades.items()
        }

    def test_asks_for_a_picture(self):
        with pytest.raises(ValueError, match="named must hold at least one picture"):
            pictures.side_by_side({})


class TestSavePng:
    def test_enlarges_small_pictures_by_whole_factors(self, tmp_path):
        sheet = pictures.grid(np.linspace(-1, 1, 4 * 64).reshape(4, 8, 8, 1))
        pictures.save_png(tmp_path / "new" / "digits.png", sheet)
        read = np.asarray(Image.open(tmp_path / "new" / "digits.png"))
        factor = read.shape[0] // 17
        assert read.shape == (17 * factor, 17 * factor) and read.shape[0] >= 512
        np.testing.assert_array_equal(read[::factor, ::factor], sheet[..., 0])
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["digits.png"]

    def test_large_colour_pictures_stay_as_they_are(self, tmp_path):
        image = np.random.default_rng(0).integers(0, 256, (512, 600, 3)).astype(np.uint8)
        pictures.save_png(tmp_path / "a.png", image)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), image)

    def test_refuses_floats(self, tmp_path):
        with pytest.raises(ValueError, match=r"image must be uint8 .* got float64"):
            pictures.save_png(tmp_path / "a.png", np.zeros((8, 8)))
