"""Image files of every kind, written here with Pillow or byte by byte."""

import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from jaxviz.data import list_images, load_image


@pytest.fixture
def gradient():
    rows, columns = np.mgrid[0:24, 0:32]
    return np.stack([rows * 10, columns * 7, 255 - rows * 5], -1).astype(np.uint8)


def saved(folder, name, picture, **options):
    path = folder / name
    picture.save(path, **options)
    return path


def test_rgb_is_exact(tmp_path, gradient):
    image = load_image(saved(tmp_path, "a.png", Image.fromarray(gradient)))
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, gradient.astype(np.float32) / 255)


def test_a_string_is_a_path(tmp_path, gradient):
    assert load_image(str(saved(tmp_path, "a.bmp", Image.fromarray(gradient)))).shape == (24, 32, 3)


def test_grey_has_three_equal_channels(tmp_path, gradient):
    image = load_image(saved(tmp_path, "a.png", Image.fromarray(gradient[..., 0])))
    for channel in range(3):
        np.testing.assert_allclose(image[..., channel], gradient[..., 0] / 255, atol=1e-7)


def test_one_bit(tmp_path):
    bits = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    assert load_image(saved(tmp_path, "a.png", bits))[..., 1].tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, name):
    values = np.linspace(0, 65535, 12).astype(np.uint16).reshape(3, 4)
    image = load_image(saved(tmp_path, name, Image.fromarray(values)))
    np.testing.assert_allclose(image[..., 0], values / 65535, atol=1e-6)
    assert np.unique(image).size == 12


def test_sixteen_bit_graymap(tmp_path):
    values = np.array([[0, 300], [40000, 65535]])
    (tmp_path / "a.pgm").write_bytes(b"P5 2 2 65535\n" + values.astype(">u2").tobytes())
    np.testing.assert_allclose(load_image(tmp_path / "a.pgm")[..., 2], values / 65535, atol=1e-6)


def test_sixteen_bit_colour(tmp_path):
    # Pillow cannot write these, so the PNG is put together here.
    values = np.array([[[0, 65535, 32768]]])
    rows = b"\0" + values.astype(">u2").tobytes()
    path = tmp_path / "a.png"
    path.write_bytes(png(1, 1, depth=16, kind=2, rows=rows))
    np.testing.assert_allclose(load_image(path)[0, 0], [0, 1, 0.5], atol=1 / 255)


def test_floats_are_taken_as_they_are(tmp_path):
    values = np.array([[0.0, 0.25], [0.5, 1.0]], np.float32)
    image = load_image(saved(tmp_path, "a.tif", Image.fromarray(values)))
    np.testing.assert_array_equal(image[..., 0], values)


def test_unclear_numbers_are_refused(tmp_path):
    huge = saved(tmp_path, "a.tif", Image.fromarray(np.full((2, 2), 1 << 20, np.int32)))
    with pytest.raises(ValueError, match=r"a\.tif.*32-bit integers"):
        load_image(huge)
    holes = saved(tmp_path, "b.tif", Image.fromarray(np.full((2, 2), np.nan, np.float32)))
    with pytest.raises(ValueError, match=r"b\.tif.*not finite"):
        load_image(holes)


def test_cmyk_is_the_plain_formula(tmp_path):
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255]]], np.uint8)
    image = load_image(saved(tmp_path, "a.tif", Image.fromarray(inks, mode="CMYK")))
    np.testing.assert_allclose(image[0], [[1, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0]], atol=2 / 255)


def test_cmyk_jpeg_is_not_inverted(tmp_path):
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[..., 0] = 200
    image = load_image(saved(tmp_path, "a.jpg", Image.fromarray(inks, mode="CMYK"), quality=95))
    np.testing.assert_allclose(image.mean((0, 1)), [55 / 255, 1, 1], atol=0.03)


def test_transparency_shows_white(tmp_path):
    red = np.zeros((1, 3, 4), np.uint8)
    red[..., 0], red[0, :, 3] = 255, [0, 128, 255]
    image = load_image(saved(tmp_path, "a.png", Image.fromarray(red)))
    np.testing.assert_allclose(image[0], [[1, 1, 1], [1, 0.498, 0.498], [1, 0, 0]], atol=2e-3)


def test_grey_with_transparency(tmp_path):
    black = np.array([[[0, 0], [0, 255]]], np.uint8)
    image = load_image(saved(tmp_path, "a.png", Image.fromarray(black, mode="LA")))
    assert image[0].tolist() == [[1, 1, 1], [0, 0, 0]]


def test_palette_with_and_without_transparency(tmp_path):
    indexed = Image.new("P", (2, 1))
    indexed.putpalette([255, 0, 0, 0, 0, 255])
    indexed.putpixel((1, 0), 1)
    assert load_image(saved(tmp_path, "a.png", indexed))[0].tolist() == [[1, 0, 0], [0, 0, 1]]
    clear = saved(tmp_path, "b.png", indexed, transparency=1)
    assert load_image(clear)[0].tolist() == [[1, 0, 0], [1, 1, 1]]


def test_of_an_animation_the_first_frame(tmp_path):
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "lime", "blue")]
    for name in ("a.gif", "a.webp", "a.png"):
        options = {} if name == "a.gif" else {"lossless": True} if name == "a.webp" else {}
        path = saved(tmp_path, name, frames[0], save_all=True, append_images=frames[1:], **options)
        np.testing.assert_allclose(load_image(path), np.broadcast_to([1.0, 0, 0], (5, 6, 3)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, gradient, orientation):
    # What a viewer must do to the stored pixels, by the EXIF standard's table.
    upright = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, "a.png", Image.fromarray(gradient), exif=exif)
    np.testing.assert_array_equal(load_image(path), upright(gradient).astype(np.float32) / 255)


def test_a_single_pixel(tmp_path):
    image = load_image(saved(tmp_path, "a.png", Image.new("RGB", (1, 1), (255, 255, 0))))
    assert image.tolist() == [[[1, 1, 0]]]


def png(width, height, *, depth=8, kind=0, rows=b""):
    """A PNG file whose header says what it likes."""

    def chunk(name, content):
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data


def test_too_many_pixels_are_refused_before_decoding(tmp_path):
    path = tmp_path / "huge.png"
    path.write_bytes(png(20_000, 20_000))  # there are no pixels in it, so decoding would fail
    with pytest.raises(ValueError, match=r"huge\.png has 20,000 x 20,000 pixels.* 100 megapixels"):
        load_image(path)
    with pytest.raises(ValueError, match="cannot be decoded"):
        load_image(path, max_megapixels=400)


def test_the_limit_can_be_changed_and_pillows_own_is_left_alone(tmp_path, monkeypatch):
    path = saved(tmp_path, "a.png", Image.new("1", (1000, 900)))
    for pillows_limit in (800_000, 100):  # Pillow warns of this image, and then refuses it
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows_limit)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert load_image(path).shape == (900, 1000, 3)
            with pytest.raises(ValueError, match=r"1,000 x 900 pixels.* 0\.5 megapixels"):
                load_image(path, max_megapixels=0.5)
        assert pillows_limit == Image.MAX_IMAGE_PIXELS


def test_not_an_image(tmp_path):
    for name, content in [("text.png", b"Good morning.\n"), ("empty.png", b"")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} is not an image"):
            load_image(tmp_path / name)


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png", "cut.tif", "cut.gif", "cut.webp"])
def test_a_file_cut_off(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    whole = saved(tmp_path, name, Image.fromarray(noise)).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=rf"{name}.*(cut off|not an image)"):
        load_image(tmp_path / name)


def test_damaged_in_the_middle(tmp_path):
    path = saved(tmp_path, "a.png", Image.effect_noise((64, 64), 90))
    whole = bytearray(path.read_bytes())
    whole[1000:1100] = bytes(100)
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"a\.png cannot be decoded"):
        load_image(path)


def test_a_folder_and_nothing(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        load_image(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no image file .*nowhere\.png"):
        load_image(tmp_path / "nowhere.png")


def test_listing_files_and_folders(tmp_path):
    names = ["c.PNG", "a.jpeg", "b.webp", "notes.txt", ".hidden"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    inside = [tmp_path / name for name in ("a.jpeg", "b.webp", "c.PNG")]
    assert list_images(tmp_path) == inside
    assert list_images(str(tmp_path)) == inside
    assert list_images([tmp_path / "notes.txt", tmp_path]) == [tmp_path / "notes.txt", *inside]


def test_listing_nothing(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=f"{tmp_path.name} has no image"):
        list_images(tmp_path)
    with pytest.raises(ValueError, match="at least one"):
        list_images([])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list_images(tmp_path / "nowhere")


def test_many_readers_leave_the_warnings_filters_as_they_were(tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(32)]
    for file in files:
        Image.new("RGB", (60, 60)).save(file)
    before = list(warnings.filters)
    for _ in range(5):
        with ThreadPoolExecutor(8) as readers:
            list(readers.map(load_image, files))
        assert warnings.filters == before
