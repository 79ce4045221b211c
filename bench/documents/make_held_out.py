"""
Makes pages of which it is known where their text has to come from, out of documents that the rule
(src/pipelines/document/page-source.ts) has never seen: <folder of PDFs> <folder to write>.
"""

import io
import json
import subprocess
import sys
from pathlib import Path

import pikepdf
from PIL import Image, ImageFilter

sources, target = Path(sys.argv[1]), Path(sys.argv[2])
target.mkdir(parents=True, exist_ok=True)
truth = []


def words_on(path, page):
    command = ["pdftotext", "-f", str(page), "-l", str(page), str(path), "-"]
    return len(subprocess.run(command, capture_output=True, check=True).stdout.split())


def picture(path, page, dpi=100):
    command = ["pdftoppm", "-r", str(dpi), "-gray", "-f", str(page), "-l", str(page), str(path)]
    image = Image.open(io.BytesIO(subprocess.run(command, capture_output=True, check=True).stdout))
    return image.filter(ImageFilter.GaussianBlur(0.5))


def scanned(image, text=None, hidden=False):
    """A page that is a picture, with a text on it or behind it."""
    pdf = pikepdf.new()
    pdf.add_blank_page(page_size=(595, 842))
    page = pdf.pages[0]
    data = io.BytesIO()
    image.convert("L").save(data, "JPEG", quality=70)
    stream = pikepdf.Stream(pdf, data.getvalue())
    stream.Type, stream.Subtype = pikepdf.Name.XObject, pikepdf.Name.Image
    stream.Width, stream.Height, stream.BitsPerComponent = image.width, image.height, 8
    stream.ColorSpace, stream.Filter = pikepdf.Name.DeviceGray, pikepdf.Name.DCTDecode
    font = pikepdf.Dictionary(
        Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
    )
    page.Resources = pikepdf.Dictionary(
        XObject=pikepdf.Dictionary(I=stream), Font=pikepdf.Dictionary(F=font)
    )
    content = "q 595 0 0 842 0 0 cm /I Do Q "
    if text:
        lines = " ".join(f"({line}) Tj T*" for line in text)
        content += f"BT {3 if hidden else 0} Tr /F 10 Tf 12 TL 40 810 Td {lines} ET"
    page.Contents = pikepdf.Stream(pdf, content.encode("latin-1", "replace"))
    return pdf


def keep(pdf, kind, expected):
    name = f"{kind}-{len(truth):03}.pdf"
    pdf.save(target / name)
    truth.append({"file": name, "kind": kind, "source": expected})


def one_page(path, page):
    with pikepdf.open(path) as source:
        pdf = pikepdf.new()
        pdf.pages.append(source.pages[page - 1])
        return pdf


def without_unicode(pdf):
    """Fonts that name their glyphs by numbers only, as some printer drivers write them."""
    changed = False
    for number in range(1, len(pdf.objects) + 1):
        item = pdf.get_object((number, 0))
        if isinstance(item, pikepdf.Dictionary) and item.get("/Type") == "/Font":
            if "/ToUnicode" in item and item.get("/Subtype") == "/Type0":
                del item["/ToUnicode"]
                changed = True
    return changed


documents = []
for path in sorted(sources.rglob("*.pdf")):
    if path.is_symlink():
        continue
    try:
        with pikepdf.open(path) as found:
            documents.append((path, len(found.pages)))
    except pikepdf.PdfError:
        pass
print(len(documents), "documents", file=sys.stderr)
per_document = max(4, 380 // max(1, len(documents)))
for path, count in documents:
    step = max(1, count // per_document)
    for index, page in enumerate(range(1, count + 1, step)):
        if index >= per_document:
            break
        words = words_on(path, page)
        if words < 20:
            continue
        kind = index % 4
        if kind in (0, 2):
            keep(one_page(path, page), "typed", "text")
        elif kind == 1:
            keep(scanned(picture(path, page)), "scan", "ocr")
        elif index % 8 == 3:
            keep(scanned(picture(path, page), ["Received 2026-11-28", "Page 7 of 12"]), "stamped", "ocr")
        else:
            behind = ["the text that an earlier OCR has read on this page"] * 40
            keep(scanned(picture(path, page), behind, hidden=True), "sandwich", "hidden_text")
for _ in range(6):
    blank = pikepdf.new()
    blank.add_blank_page(page_size=(595, 842))
    keep(blank, "blank", "blank")
    keep(scanned(Image.new("L", (1000, 1414), 255)), "white-scan", "blank")
for path, count in documents:
    for page in range(1, min(count, 3) + 1):
        pdf = one_page(path, page)
        if words_on(path, page) >= 20 and without_unicode(pdf):
            keep(pdf, "unmapped", "ocr")
(target / "truth.json").write_text(json.dumps(truth))
print(len(truth), "pages", file=sys.stderr)
