"""Write `photos/`: patches of scikit-learn's two photographs, in a folder for each class."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

SIZE, PATCHES = 32, 60
# photograph, then top, bottom, left and right of the region
REGIONS = {
    "sky": ("china.jpg", 0, 150, 340, 640),
    "temple": ("china.jpg", 110, 330, 105, 310),
    "petals": ("flower.jpg", 120, 320, 200, 420),
}

rng = np.random.default_rng(0)
for name, (photograph, top, bottom, left, right) in REGIONS.items():
    image = load_sample_image(photograph)
    folder = Path("photos/train", name)
    folder.mkdir(parents=True)
    for number in range(PATCHES):
        y, x = rng.integers(top, bottom - SIZE), rng.integers(left, right - SIZE)
        patch = Image.fromarray(image[y : y + SIZE, x : x + SIZE])
        patch.save(folder / f"{name}_{number:02}.png")
