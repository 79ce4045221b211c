/* One page as PDFium has it: its characters, its images, and a picture of it. */
import { PageFailure } from './pages.ts';
import {
  allocate,
  bytesAt,
  exportsOf,
  free,
  type Pdfium,
  type Pointer,
  Scratch,
} from './pdfium.ts';

const GREY = 1; // FPDFBitmap_Gray
const WITH_ANNOTATIONS = 0x01;
const IN_GREY = 0x08;
const WHITE = 0xffff_ffff;
const IMAGE_OBJECT = 3;
const FORM_OBJECT = 5;
const INVISIBLE = 3; // FPDF_TEXTRENDERMODE_INVISIBLE
const MAX_NESTED_FORMS = 6;
const MAX_LOOKED_AT = 20_000; // objects of a page
/** Coordinates as whole numbers: so many to a point. */
const PRECISION = 1000;
const RIGHT_ANGLE = 90;
const SPAN = 100; // points; what is measured over them is exact enough

/** An image in shades of grey, row-major, a byte a pixel. */
export interface GreyImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Left, top, right, bottom: in points of the page as it is seen, from its top left corner. */
export type Box = [left: number, top: number, right: number, bottom: number];

export interface Character {
  /** In Unicode; empty where the font does not say. */
  readonly text: string;
  readonly box: Box | null;
  /** A space or a new line that PDFium has seen between two others. */
  readonly isGenerated: boolean;
  /** Nobody can tell which character it is. */
  readonly isUnmapped: boolean;
  /** It is there to be found, not to be seen. */
  readonly isHidden: boolean;
  /** Which way the text goes, in quarter turns clockwise from rightwards, on the page as it is seen. */
  readonly quarters: number;
}

interface PageImages {
  readonly largestPixels: number;
  readonly coverage: number;
}

export class PdfPage {
  readonly #pdfium: Pdfium;
  readonly #page: Pointer;
  readonly #userUnit: number;
  /** In points, as it is seen. */
  readonly width: number;
  readonly height: number;
  /** Degrees clockwise by which the page is turned for being seen. */
  readonly rotation: number;
  #images: PageImages | null = null;

  constructor(pdfium: Pdfium, page: Pointer, userUnit: number) {
    this.#pdfium = pdfium;
    this.#page = page;
    this.#userUnit = userUnit;
    this.width = pdfium.FPDF_GetPageWidthF(page) * userUnit;
    this.height = pdfium.FPDF_GetPageHeightF(page) * userUnit;
    this.rotation = pdfium.FPDFPage_GetRotation(page) * RIGHT_ANGLE;
    if (!(this.width > 0 && this.height > 0 && this.width * this.height < Infinity)) {
      throw new PageFailure({ code: 'page_damaged', message: 'the page has no size' });
    }
  }

  /** The characters in the order of the content, with the spaces that PDFium sees between them. */
  *characters(): Generator<Character> {
    const pdfium = this.#pdfium;
    const text = pdfium.FPDFText_LoadPage(this.#page);
    if (text === 0) return;
    const scratch = new Scratch(pdfium);
    const raw = exportsOf(pdfium);
    try {
      const seen = this.#seenFrom(scratch);
      const count = pdfium.FPDFText_CountChars(text);
      let [object, isHidden, quarters] = [0, false, 0];
      for (let index = 0; index < count; index++) {
        const code = raw.FPDFText_GetUnicode(text, index) >>> 0;
        const next = raw.FPDFText_GetTextObject(text, index);
        if (next !== 0 && next !== object) {
          object = next;
          isHidden = pdfium.FPDFTextObj_GetTextRenderMode(object) === INVISIBLE;
          quarters = this.#quartersOf(pdfium.FPDFText_GetCharAngle(text, index));
        }
        const hasBox = raw.FPDFText_GetLooseCharBox(text, index, scratch.pointer) === 1;
        yield {
          text: textOf(code),
          box: hasBox ? seenBox(seen, scratch) : null,
          isGenerated: code <= SPACE && pdfium.FPDFText_IsGenerated(text, index) === 1,
          isUnmapped: isUnknown(code) || raw.FPDFText_HasUnicodeMapError(text, index) === 1,
          isHidden,
          quarters,
        };
      }
    } finally {
      scratch.free();
      pdfium.FPDFText_ClosePage(text);
    }
  }

  /** Renders the page, annotations and forms too. */
  render(pixelsPerPoint: number): GreyImage {
    const pdfium = this.#pdfium;
    const [width, height] = [this.width, this.height].map((points) =>
      Math.max(1, Math.round(points * pixelsPerPoint)),
    ) as [number, number];
    const pixels = allocate(pdfium, width * height);
    const bitmap = pdfium.FPDFBitmap_CreateEx(width, height, GREY, pixels, width);
    try {
      pdfium.FPDFBitmap_FillRect(bitmap, 0, 0, width, height, WHITE);
      const flags = WITH_ANNOTATIONS | IN_GREY;
      pdfium.FPDF_RenderPageBitmap(bitmap, this.#page, 0, 0, width, height, 0, flags);
      return { width, height, data: Uint8Array.from(bytesAt(pdfium, pixels, width * height)) };
    } finally {
      pdfium.FPDFBitmap_Destroy(bitmap);
      free(pdfium, pixels);
    }
  }

  /** The pixels of its largest image, and the share of the page that the one covers which covers most. */
  images(): PageImages {
    return (this.#images ??= this.#lookAtImages());
  }

  #lookAtImages(): PageImages {
    const pdfium = this.#pdfium;
    const scratch = new Scratch(pdfium);
    const found = { largestPixels: 0, coverage: 0 };
    const area = (this.width * this.height) / this.#userUnit ** 2;
    let left = MAX_LOOKED_AT;
    const look = (object: Pointer, depth: number): void => {
      const type = pdfium.FPDFPageObj_GetType(object);
      if (type === IMAGE_OBJECT) {
        pdfium.FPDFImageObj_GetImagePixelSize(object, scratch.at(0), scratch.at(1));
        const [width, height] = [scratch.integer(0), scratch.integer(1)];
        found.largestPixels = Math.max(found.largestPixels, (width >>> 0) * (height >>> 0));
        const [a, b, c, d] = [0, 1, 2, 3].map((at) => scratch.at(at)) as [
          number,
          number,
          number,
          number,
        ];
        if (depth > 0 || !pdfium.FPDFPageObj_GetBounds(object, a, b, c, d)) return;
        const covered =
          (scratch.float(2) - scratch.float(0)) * (scratch.float(3) - scratch.float(1));
        found.coverage = Math.max(found.coverage, covered / area);
      } else if (type === FORM_OBJECT && depth < MAX_NESTED_FORMS) {
        const count = pdfium.FPDFFormObj_CountObjects(object);
        for (let at = 0; at < count && left-- > 0; at++) {
          look(pdfium.FPDFFormObj_GetObject(object, at), depth + 1);
        }
      }
    };
    const count = pdfium.FPDFPage_CountObjects(this.#page);
    for (let at = 0; at < count && left-- > 0; at++) {
      look(pdfium.FPDFPage_GetObject(this.#page, at), 0);
    }
    scratch.free();
    return found;
  }

  /** How a place on the page becomes one on the page as it is seen: rotation, crop box and user unit. */
  #seenFrom(scratch: Scratch): Seen {
    const [width, height] = [this.width * PRECISION, this.height * PRECISION].map(Math.round) as [
      number,
      number,
    ];
    const place = (x: number, y: number): readonly [number, number] => {
      const [a, b] = [scratch.at(0), scratch.at(1)];
      this.#pdfium.FPDF_PageToDevice(this.#page, 0, 0, width, height, 0, x, y, a, b);
      return [scratch.integer(0) / PRECISION, scratch.integer(1) / PRECISION];
    };
    const [[x, y], right, up] = [place(0, 0), place(SPAN, 0), place(0, SPAN)];
    return {
      x,
      y,
      xx: (right[0] - x) / SPAN,
      xy: (right[1] - y) / SPAN,
      yx: (up[0] - x) / SPAN,
      yy: (up[1] - y) / SPAN,
    };
  }

  /** PDFium's angles go clockwise, in radians, and know nothing of the page's rotation. */
  #quartersOf(angle: number): number {
    const quarters = Math.round((angle * 2) / Math.PI) + this.rotation / RIGHT_ANGLE;
    return Number.isFinite(quarters) ? ((quarters % 4) + 4) % 4 : 0;
  }
}

/** The origin as it is seen, and how far a point to the right and upwards goes. */
type Seen = Readonly<Record<'x' | 'y' | 'xx' | 'xy' | 'yx' | 'yy', number>>;

/** The rectangle (FS_RECTF) that PDFium has just answered with. */
function seenBox({ x, y, xx, xy, yx, yy }: Seen, scratch: Scratch): Box {
  const [left, top] = [scratch.float(0), scratch.float(1)];
  const [right, bottom] = [scratch.float(2), scratch.float(3)];
  const [x0, y0] = [x + left * xx + top * yx, y + left * xy + top * yy];
  const [x1, y1] = [x + right * xx + bottom * yx, y + right * xy + bottom * yy];
  return [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
}

/** What PDFium gives for a hyphen at the end of a line. */
const isHyphen = (code: number): boolean => code === 0x02 || code === 0xff_fe;
/** The private use area and the sign for what is no character. */
const isUnknown = (code: number): boolean =>
  code === 0xff_fd ||
  (code >= 0xe0_00 && code < 0xf9_00) ||
  (code < 0x20 && !isHyphen(code) && !isBreak(code));
const SPACE = 0x20;
const isBreak = (code: number): boolean => code === 0x09 || code === 0x0a || code === 0x0d;

const textOf = (code: number): string => {
  if (isHyphen(code)) return '-';
  if (code > 0 && code < SPACE && !isBreak(code)) return '\uFFFD';
  return code === 0 || code > 0x10_ff_ff ? '' : String.fromCodePoint(code);
};
