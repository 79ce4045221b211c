"""Says how good digits are: whether a classifier sees what was asked for, how different they are, and how near to
images that the model has learned from.

    python models/digits/score.py <folder of <digit>-<number>.png>
"""
import pathlib, sys

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

SIDE, SCALE = 8, 8


def small(path):
    """The picture as the data has it: the middle of each block of 8 x 8 pixels, 0 (paper) to 16 (ink)."""
    pixels = np.asarray(Image.open(path).convert("L"), float).reshape(SIDE, SCALE, SIDE, SCALE)
    middle = pixels[:, SCALE // 2 - 1:SCALE // 2 + 1, :, SCALE // 2 - 1:SCALE // 2 + 1].mean((1, 3))
    return np.clip(np.round((255 - middle) / 255 * 16), 0, 16).ravel()


def spread(images, labels):
    """Standard deviation within a class, mean over pixels and classes."""
    return np.mean([images[labels == digit].std(0).mean() for digit in range(10)])


def nearest(images, others):
    return np.sqrt(((images[:, None] - others[None]) ** 2).sum(-1)).min(1)


images, labels = load_digits(return_X_y=True)
learned, unseen, learned_labels, unseen_labels = train_test_split(
    images, labels, test_size=300, random_state=0, stratify=labels)
classifier = SVC(gamma=0.001, C=10).fit(learned, learned_labels)
paths = sorted(pathlib.Path(sys.argv[1]).glob("*-*.png"))
made = np.array([small(path) for path in paths])
asked = np.array([int(path.name.split("-")[0]) for path in paths])
distances = nearest(made, learned)
print(f"the classifier is right on {classifier.score(unseen, unseen_labels):.1%} of unseen real digits")
print(f"it sees what was asked for in {(classifier.predict(made) == asked).mean():.1%} of {len(made)} images")
print(f"diversity {spread(made, asked):.2f}, {spread(made, asked) / spread(learned, learned_labels):.2f} of that of real digits")
print(f"distance to the nearest learned image: median {np.median(distances):.1f}, least {distances.min():.1f} "
      f"(unseen real digits: {np.median(nearest(unseen, learned)):.1f}, {nearest(unseen, learned).min():.1f})")
