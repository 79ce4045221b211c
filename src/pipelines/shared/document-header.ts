/* Whether bytes are a document, by the first of them. */
import { InvalidMediaError, type MediaField } from '../definition.ts';
import { imageField, mayBeImage } from './image-header.ts';

const PDF_MEDIA_TYPE = 'application/pdf';
const PDF_SIGNATURE = '%PDF-';
/** Something else may stand before a PDF (ISO 32000-1, annex H.3, note 13). */
const MAX_SIGNATURE_OFFSET = 1024;
/** A media field that takes PDFs and images. */
export const documentField: MediaField = {
  kind: 'document',
  accept: [PDF_MEDIA_TYPE, ...imageField.accept],
  inspect(head, limits) {
    if (mayBeImage(head)) return imageField.inspect(head, limits);
    const start = Buffer.from(head.subarray(0, MAX_SIGNATURE_OFFSET + PDF_SIGNATURE.length));
    if (start.includes(PDF_SIGNATURE)) return PDF_MEDIA_TYPE;
    if (start.length < MAX_SIGNATURE_OFFSET + PDF_SIGNATURE.length) return null;
    throw new InvalidMediaError('these bytes are no PDF, TIFF, PNG, JPEG or WebP image');
  },
};
