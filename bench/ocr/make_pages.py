"""Pages of every kind with the text that is on them: make_pages.py FONTS FOLDER

The same pages each time. FONTS is a node_modules folder with the fonts of bench/ocr/fonts.json.
"""

import random
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONTS, FOLDER = Path(sys.argv[1]), Path(sys.argv[2])
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 1
PER_KIND = 3
FINE = 3  # drawn so much larger and averaged down: glyphs then lie between pixels, as in a scan


def fontsource(name):
    return FONTS / f"@fontsource/{name}/files/{name}-latin-400-normal.woff"


def dejavu(name):
    return FONTS / f"dejavu-fonts-ttf/ttf/{name}.ttf"


TEXT_FONTS = [
    fontsource("lora"),
    fontsource("roboto"),
    fontsource("source-serif-4"),
    fontsource("open-sans"),
    fontsource("libre-baskerville"),
    dejavu("DejaVuSans"),
    dejavu("DejaVuSerif"),
    dejavu("DejaVuSansCondensed"),
]
MONO_FONTS = [fontsource("courier-prime"), fontsource("ibm-plex-mono"), dejavu("DejaVuSansMono")]

WHO = """The harbour office|Our gardener|A letter from Aunt Maud|The night train|The committee|Mr. Pell
|The old boiler|A pair of swallows|Dr. Haskett|The ferry company|The new bridge|The parish library
|A small bakery|Captain Orrin|The spring flood|The print works|Every second visitor""".split("|")
DID = """has moved|counted|will repair|forgot about|was paid for|kept a list of|sent back|ordered|lost
|could not find|measured|agreed to replace|sold|wrote about|looks after|refused|described""".split("|")
WHAT = """the iron gates|forty-two crates of pears|a quiet room above the square|the missing ledger
|three boxes of candles|the broken weather vane|a map of the lower valley|the winter timetable
|two kilometres of copper wire|the signal lamps|its oldest customers|a bicycle without wheels
|the drawings for the quay|six jars of quince jelly|a report on the wells|all of the spare keys
|the lighthouse keeper's diary|every window on the north side""".split("|")
HOW = """before the end of May|on 14 October 1987|for 1,250 crowns|at a quarter past nine|in room 308
|because of the rain|without saying why|after a long winter|with some regret|at the price of $48.60
|for the third time since 2009|in less than 20 minutes|although nobody had asked|by a margin of 7.5%
|near the fish market|(see page 112)|under the terms of section 4""".split("|")
TITLES = "Annual Report|Chapter 7|House Rules|A Walk by the River|Inventory 2021|Letters".split("|")
GOODS = """Oat bread|Whole milk 1L|Pears loose|Batteries AA x4|Olive oil 500ml|Dish soap|Coffee beans
|Eggs large 12|Tea towel|Salted butter|Red onions 1kg|Rice basmati|Candles white|Apple juice|Paper bags
|Mustard jar|Yoghurt plain|Garlic bulb|Honey 250g|Notebook A5""".split("|")
WHO, DID, WHAT, HOW, GOODS = (
    [text.replace("\n", "") for text in texts] for texts in (WHO, DID, WHAT, HOW, GOODS)
)


def sentence(chance):
    pick = chance.choice
    text = f"{pick(WHO)} {pick(DID)} {pick(WHAT)} {pick(HOW)}"
    if chance.random() < 0.35:
        more = f"{pick(WHO)} {pick(DID)} {pick(WHAT)}"
        text += pick(["; however, ", ", and ", ", while ", ": "]) + more[0].lower() + more[1:]
    return text + pick("....!?")


def prose(chance, font, width, count):
    """`count` rows no wider than `width`; an empty one between paragraphs."""
    rows = []
    while len(rows) < count:
        row = ""
        words = " ".join(sentence(chance) for _ in range(chance.randint(3, 6))).split(" ")
        for word in words:
            longer = f"{row} {word}" if row else word
            if row and font.getlength(longer) > width:
                rows.append(row)
                row = word
            else:
                row = longer
        rows += [row, ""]
    rows = rows[:count]
    return rows if rows[-1] else rows[:-1]


def draw_rows(draw, rows, left, top, font, leading, ink):
    for row in rows:
        draw.text((left, top), row, font=font, fill=ink)
        top += leading if row else round(leading * 0.6)


def page(chance, size, font_path, pixels, **style):
    """A title and prose on one page, and its text."""
    fine = FINE if size[0] < 2000 else 1
    width, height = size[0] * fine, size[1] * fine
    pixels *= fine
    ink, paper = style.get("ink", (20, 20, 20)), style.get("paper", (255, 255, 255))
    leading = round(pixels * style.get("leading", 1.45))
    margin = round(width * style.get("margin", 0.09))
    image = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(image)
    font = ImageFont.truetype(font_path, pixels)
    top, truth = margin, []
    if style.get("title", True):
        title = chance.choice(TITLES)
        draw.text((margin, top), title, font=ImageFont.truetype(font_path, pixels * 17 // 10), fill=ink)
        truth.append(title)
        top += pixels * 32 // 10
    room = int((height * style.get("fill", 0.92) - top) / leading)
    rows = prose(chance, font, width - 2 * margin, min(room, style.get("max_rows", room)))
    draw_rows(draw, rows, margin, top, font, leading, ink)
    return image.reduce(fine), "\n".join([*truth, *filter(None, rows)])


def noisy(image, seed, sigma, specks):
    numbers = np.random.default_rng(seed)
    pixels = np.asarray(image).astype(np.float32)
    pixels = pixels + numbers.normal(0, sigma, pixels.shape[:2])[..., None]
    where = numbers.random(pixels.shape[:2])
    pixels[where < specks / 2] = 0
    pixels[where > 1 - specks / 2] = 255
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


A4_150, A4_110, A4_300, A3_300 = (1240, 1754), (910, 1286), (2480, 3508), (3508, 4961)


def font_of(kind, index, fonts=TEXT_FONTS):
    return fonts[(index * 3 + sum(map(ord, kind)) + SEED * 5) % len(fonts)]


def plain(chance, index, kind="plain"):
    size, pixels = [A4_150, A4_110, (1000, 1000)][index], [25, 19, 28][index]
    paper = [(255, 255, 255), (250, 248, 240), (244, 244, 246)][index]
    return page(chance, size, font_of(kind, index), pixels, paper=paper)


def exif(chance, index):
    image, truth = plain(chance, index, "exif")
    tag, turn = [
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
    ][index]
    data = Image.Exif()
    data[0x112] = tag
    return image.transpose(turn), truth, {"exif": data, "quality": 90}


def rotated(chance, index):
    image, truth = plain(chance, index, "rotated")
    angle, paper = [3, -7, 10, -3, 7, -10][(index + SEED * 3) % 6], image.getpixel((2, 2))
    turn = {"resample": Image.Resampling.BICUBIC, "expand": True, "fillcolor": paper}
    return image.rotate(angle, **turn), truth


def inverted(chance, index):
    size, pixels = [A4_150, (1280, 800), A4_110][index], [24, 26, 19][index]
    paper = [(0, 0, 0), (24, 26, 32), (10, 30, 60)][index]
    font = font_of("inverted", index)
    return page(chance, size, font, pixels, paper=paper, ink=(245, 245, 245))


def small(chance, index):
    size, pixels = [(820, 700), (700, 600), (900, 900)][index], [16, 14, 12][index]
    return page(chance, size, font_of("small", index), pixels, max_rows=30)


def dense(chance, index):
    size, pixels = [(1500, 2000), (1654, 2339), A4_150][index], [22, 23, 18][index]
    style = {"margin": 0.05, "leading": 1.27, "fill": 0.97, "title": False}
    return page(chance, size, font_of("dense", index), pixels, **style)


def noise(chance, index):
    image, truth = plain(chance, index, "noise")
    sigma, specks = [18, 25, 30][index], [0.01, 0.02, 0.03][index]
    return noisy(image, SEED * 7 + index, sigma, specks), truth


def columns(chance, index):
    width, height = [A4_150, (1400, 1900), A4_150][index]
    width, height, pixels = width * FINE, height * FINE, [21, 22, 20][index] * FINE
    gutter, margin, leading = [44, 60, 36][index] * FINE, round(width * 0.07), round(pixels * 1.4)
    font, ink = ImageFont.truetype(font_of("columns", index), pixels), (15, 15, 15)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    top, truth = margin, []
    if index != 2:
        title = chance.choice(TITLES)
        draw.text((margin, top), title, font=font.font_variant(size=pixels * 2), fill=ink)
        truth.append(title)
        top += pixels * 4
    column_width, count = (width - 2 * margin - gutter) // 2, int((height * 0.93 - top) / leading)
    for column in range(2):
        rows = prose(chance, font, column_width, count - column * chance.randint(0, 6))
        left = margin + column * (column_width + gutter)
        draw_rows(draw, rows, left, top + column * index * 7, font, leading, ink)
        truth += filter(None, rows)
    return image.reduce(FINE), "\n".join(truth)


def receipt(chance, index):
    pixels, count = [24, 20, 28][index] * FINE, [18, 34, 24][index]
    font = ImageFont.truetype(font_of("receipt", index, MONO_FONTS), pixels)
    edge, number = 30 * FINE, chance.randint
    width = round(font.getlength("0") * [32, 38, 30][index]) + 2 * edge
    prices = [number(45, 2999) for _ in range(count)]
    rows = [
        [chance.choice(["CORNER GROCER", "MILL STREET MARKET", "HARBOUR STORES"])],
        [f"{number(2, 98)} Quay Road"],
        [f"Tel 0{number(10, 99)} {number(100, 999)} {number(1000, 9999)}"],
        [f"Date {number(1, 28):02}/{number(1, 12):02}/2024", f"{number(8, 20):02}:{number(0, 59):02}"],
        *[[chance.choice(GOODS), f"{price / 100:.2f}"] for price in prices],
        ["SUBTOTAL", f"{sum(prices) / 100:.2f}"],
        ["TAX 8%", f"{sum(prices) * 0.08 / 100:.2f}"],
        ["TOTAL", f"{sum(prices) * 1.08 / 100:.2f}"],
        ["THANK YOU"],
        ["Please keep this receipt"],
    ]
    leading = round(pixels * 1.4)
    image = Image.new("RGB", (width, leading * len(rows) + 2 * edge), (252, 252, 250))
    draw = ImageDraw.Draw(image)
    for line, row in enumerate(rows):
        top = edge + line * leading
        if len(row) == 1:
            left = (width - font.getlength(row[0])) / 2
            draw.text((left, top), row[0], font=font, fill=(30, 30, 30))
        else:
            draw.text((edge, top), row[0], font=font, fill=(30, 30, 30))
            left = width - edge - font.getlength(row[1])
            draw.text((left, top), row[1], font=font, fill=(30, 30, 30))
    truth = "\n".join(" ".join(row) for row in rows)
    return noisy(image.reduce(FINE), SEED * 100 + index, 4, 0), truth


def scan(chance, index):
    """At 300 dpi: A4 with print of 9 and 6 points, A3 with 7 points."""
    size, pixels = [A4_300, A4_300, A3_300][index], [38, 25, 29][index]
    margin, max_rows = [0.1, 0.2, 0.25][index], [45, 60, 60][index]
    font = font_of("scan", index)
    image, truth = page(chance, size, font, pixels, margin=margin, max_rows=max_rows)
    return noisy(image, SEED * 10 + index, 6, 0), truth


KINDS = {
    "plain": (plain, "png", {}),
    "tiff": (lambda chance, index: plain(chance, index, "tiff"), "tiff", {"compression": "tiff_lzw"}),
    "webp": (lambda chance, index: plain(chance, index, "webp"), "webp", {"quality": 80}),
    "exif": (exif, "jpg", {}),
    "rotated": (rotated, "png", {}),
    "inverted": (inverted, "png", {}),
    "small": (small, "png", {}),
    "dense": (dense, "png", {}),
    "noise": (noise, "png", {}),
    "columns": (columns, "png", {}),
    "receipt": (receipt, "png", {}),
    "scan": (scan, "png", {}),
}
FOLDER.mkdir(parents=True, exist_ok=True)
for kind, (make, extension, saving) in KINDS.items():
    for index in range(PER_KIND):
        chance = random.Random(f"{SEED}/{kind}/{index}")
        image, truth, *more = make(chance, index)
        image.save(FOLDER / f"{kind}-{index}.{extension}", **saving, **(more[0] if more else {}))
        (FOLDER / f"{kind}-{index}.txt").write_text(truth)
