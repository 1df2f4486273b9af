"""Writing images of a data set as PNG."""

from PIL import Image


def write(path, image):
    """image is uint8 [side, side, channels], grey or RGB."""
    grey = image.shape[2] == 1
    Image.fromarray(image[:, :, 0] if grey else image).save(path)
