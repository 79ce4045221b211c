/*
 * PDFium (compiled to WebAssembly) and its memory. Whatever it does blocks its thread, and a hostile file may block it
 * for ever: it is used in `pdf-thread.ts` only.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { init, type WrappedPdfiumModule } from '@embedpdf/pdfium';

export type Pdfium = WrappedPdfiumModule;
/** An address in PDFium's memory; 0: nothing. */
export type Pointer = number;

declare const isCompiled: unique symbol;
/** PDFium's code; it can be handed to a thread. */
export type CompiledCode = object & { readonly [isCompiled]: true };

/** What is used of it: the types of Node have none of it. */
const { WebAssembly } = globalThis as unknown as {
  readonly WebAssembly: {
    compile(bytes: Uint8Array): Promise<CompiledCode>;
    instantiate(code: CompiledCode, imports: object): Promise<object>;
  };
};

/** Its code, which all threads of a process share: it is compiled once, and stays as fast as it has become. */
export async function compilePdfium(): Promise<CompiledCode> {
  const path = createRequire(import.meta.url).resolve('@embedpdf/pdfium/pdfium.wasm');
  return await WebAssembly.compile(await readFile(path));
}

/** PDFium with a memory of its own. */
export async function startPdfium(code: CompiledCode): Promise<Pdfium> {
  const pdfium = await init({
    print: () => {},
    printErr: () => {}, // what it throws says the same
    instantiateWasm(imports: object, onReady: (instance: object) => void) {
      void WebAssembly.instantiate(code, imports).then(onReady);
      return {};
    },
  });
  pdfium.PDFiumExt_Init();
  return pdfium;
}

/**
 * PDFium's functions without their wrappers, which take fifteen times as long: for what is asked of each character.
 * True is 1.
 */
export interface Exports {
  malloc(bytes: number): Pointer;
  free(pointer: Pointer): void;
  FPDFText_GetUnicode(text: Pointer, index: number): number;
  FPDFText_GetTextObject(text: Pointer, index: number): Pointer;
  FPDFText_GetLooseCharBox(text: Pointer, index: number, rectangle: Pointer): number;
  FPDFText_HasUnicodeMapError(text: Pointer, index: number): number;
}

/** PDFium's memory as it is now: it moves when it grows, so nobody may keep a view of it. */
interface Memory {
  readonly HEAPU8: Uint8Array;
  readonly wasmExports: Exports;
}

const memoryOf = ({ pdfium }: { readonly pdfium: unknown }): Memory => pdfium as Memory;
export const exportsOf = (pdfium: Pdfium): Exports => memoryOf(pdfium).wasmExports;
export const bytesAt = (pdfium: Pdfium, pointer: Pointer, bytes: number): Uint8Array =>
  memoryOf(pdfium).HEAPU8.subarray(pointer, pointer + bytes);

/** How much memory PDFium has taken; it gives none back. */
export const heapBytes = (pdfium: Pdfium): number => memoryOf(pdfium).HEAPU8.length;

export function allocate(pdfium: Pdfium, bytes: number): Pointer {
  const pointer = memoryOf(pdfium).wasmExports.malloc(bytes);
  if (pointer === 0) throw new RangeError(`PDFium has no memory for ${bytes} bytes`);
  return pointer;
}

export const free = (pdfium: Pdfium, pointer: Pointer): void =>
  memoryOf(pdfium).wasmExports.free(pointer);

/** Memory for the numbers that PDFium answers with. */
export class Scratch {
  static readonly BYTES = 32;
  readonly pointer: Pointer;
  readonly #pdfium: Pdfium;
  #latest: DataView | null = null;

  constructor(pdfium: Pdfium) {
    this.#pdfium = pdfium;
    this.pointer = allocate(pdfium, Scratch.BYTES);
  }

  at(index: number): Pointer {
    return this.pointer + 4 * index;
  }

  integer(index: number): number {
    return this.#view().getInt32(4 * index, true);
  }

  float(index: number): number {
    return this.#view().getFloat32(4 * index, true);
  }

  #view(): DataView {
    const { buffer } = memoryOf(this.#pdfium).HEAPU8;
    if (this.#latest?.buffer !== buffer) {
      this.#latest = new DataView(buffer, this.pointer, Scratch.BYTES);
    }
    return this.#latest;
  }

  free(): void {
    free(this.#pdfium, this.pointer);
  }
}
