/*
 * What a pipeline is. Its schema half (schema.ts) is pure data and zod: the API validates and
 * documents with it. Its running half (pipeline.ts) is loaded only in a model process.
 */
import type { z } from 'zod';
import type { Manifest } from '../contract/model.ts';
import type { Json } from '../contract/payload.ts';
import type { TokenCount } from '../contract/prediction.ts';
import type { GraphSignature } from '../contract/tensor.ts';
import type { Part } from '../contract/work.ts';

/** The signatures of a model's graphs, by the role of their file in the manifest. */
export type Graphs = Readonly<Record<string, GraphSignature>>;

/** JSON files that a pipeline describes its models by (`PIPELINES`), by the role of their file in the manifest. */
export type Configs = Readonly<Record<string, Json>>;

export interface MediaLimits {
  readonly maxPixels: number;
}

/** Media that cannot be accepted; the message is for the client. */
export class InvalidMediaError extends Error {
  override readonly name = 'InvalidMediaError';
}

/** An input field that takes media: bytes with a media type rather than JSON. */
export interface MediaField {
  /** Its name in `MEDIA_KINDS`, by which it is found where no model is known. */
  readonly kind: string;
  /** The media types it takes, the preferred one first. */
  readonly accept: readonly string[];
  /**
   * Looks at the first bytes of an upload. Returns the media type they really are, or null while
   * more bytes are needed to tell; throws `InvalidMediaError`.
   */
  inspect(head: Uint8Array, limits: MediaLimits): string | null;
}

/** Makes an input of a raw body. Throws `InvalidFieldError`. */
export type BodyForm = (bytes: Uint8Array) => {
  /** The input, as if it had come as JSON; values may be bytes. */
  readonly input: Readonly<Record<string, unknown>>;
  /** The field as it is stored. */
  readonly field: string;
  readonly encode: () => Uint8Array;
  readonly mediaType: string;
};

/** Something is wrong at one place of an input; found before its schema checks it. */
export class InvalidFieldError extends Error {
  override readonly name = 'InvalidFieldError';
  /** The path from the input down; empty for the input as a whole. */
  readonly path: readonly string[];
  constructor(path: readonly string[], message: string) {
    super(message);
    this.path = path;
  }
}

/** For models whose input has one form, an object with media. */
export const PLAIN_INPUT = {
  forms: null,
  normalize: requireObject,
  isLarge: () => false,
  bodies: {},
  secretOptions: [],
  streaming: null,
} as const;

function requireObject(input: unknown): Readonly<Record<string, unknown>> {
  if (typeof input === 'object' && input !== null && !Array.isArray(input)) {
    return input as Readonly<Record<string, unknown>>;
  }
  throw new InvalidFieldError([], 'must be an object');
}

/**
 * What a model tells of its work while it does it, part by part. Between two parts it stops when it is asked to.
 * `text`: a text, which `textOf` finds in the output; `pages`: the pages of a document, which the output has as `pages`,
 * and the texts that they can be read as, by media type; `images`: previews of the images that it makes.
 */
type Streaming =
  | { readonly kind: 'text'; readonly textOf: (output: Json) => string }
  | { readonly kind: 'images' }
  | { readonly kind: 'pages'; readonly forms: Readonly<Record<string, PageForm>> };

/** Begins a text; what it returns adds a page to it. */
export type PageForm = () => (page: Json) => string;

export interface PipelineSchema {
  readonly input: z.ZodObject;
  /** Every form that `normalize` takes, for people; null: only that of `input`. */
  readonly forms: z.ZodType | null;
  /** One named `seed` is drawn at acceptance when it is not given, so that every attempt has the same. */
  readonly options: z.ZodObject;
  readonly output: z.ZodType;
  /** A small input that the model takes; null when there is none to show. */
  readonly example: Readonly<Record<string, unknown>> | null;
  /** The media fields of `input`, by name. */
  readonly media: Readonly<Record<string, MediaField>>;
  /**
   * Brings the forms in which an input may come into the one that `input` describes. Throws
   * `InvalidFieldError`.
   */
  normalize(input: unknown): Readonly<Record<string, unknown>>;
  /** The places in the input where arrays may be very long. */
  readonly isLarge: (path: readonly string[]) => boolean;
  /** Raw bodies that are an input of this model, by media type; each is read whole. */
  readonly bodies: Readonly<Record<string, BodyForm>>;
  /**
   * Inputs with equal keys may run as one (`Pipeline.inferBatch`); null: this model does not batch.
   */
  readonly batchKey: ((input: Readonly<Record<string, unknown>>) => string) | null;
  /** Options, texts all of them, that nobody may see but the model: they are in no record, history or log. */
  readonly secretOptions: readonly string[];
  /** Null: the model does its work in one piece. */
  readonly streaming: Streaming | null;
}

/** Every pipeline's schema.ts exports one of these; it throws when the manifest does not fit. */
export type DescribePipeline = (
  manifest: Manifest,
  graphs: Graphs,
  configs: Configs,
) => PipelineSchema;

/** What a pipeline is opened with, in its model process. */
export interface PipelineSettings {
  readonly manifest: Manifest;
  /** Absolute paths of the manifest's files, by role; their hashes have been checked. */
  readonly files: Readonly<Record<string, string>>;
  readonly graphs: Graphs;
  readonly configs: Configs;
  readonly device: string;
  readonly limits: MediaLimits;
  /** An output with more bytes is refused. */
  readonly maxOutputBytes: number;
}

/** What an inference is told while it runs, and what it tells. */
export interface InferenceContext {
  /** Aborted when nobody wants the result any more: a pipeline that works in parts throws its reason at the next. */
  readonly signal: AbortSignal;
  /** What earlier attempts have told with `emit`, as one part: it is not to be done again. Null: nothing. */
  readonly before: Part | null;
  /** Tells how far the inference has come; `fraction` is 0 to 1. */
  report(fraction: number, message: string): void;
  /** Tells a part of the work that is done. */
  emit(part: Part): void;
  /** Tells how many tokens the inference has taken in all. */
  count(tokens: TokenCount): void;
}

/**
 * One inference's input: media fields are `Media`, everything else is JSON that the schema has accepted; `options` have
 * their defaults filled in.
 */
export interface PipelineInput {
  readonly input: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
}

/** Media that is too large to be handed over in memory: a file, which may only be read. */
export class MediaFile {
  readonly path: string;
  constructor(path: string) {
    this.path = path;
  }
}

export type Media = Uint8Array | MediaFile;

/** JSON, or bytes of a media type of their own, or JSON with files. */
export type PipelineOutput = Json | EncodedOutput | ImagesOutput;

/** JSON whose member `images` says something of each image; the images themselves are files. */
export class ImagesOutput {
  readonly json: Readonly<Record<string, Json>> & { readonly images: readonly Json[] };
  readonly files: readonly OutputFile[];
  constructor(json: ImagesOutput['json'], files: readonly OutputFile[]) {
    this.json = json;
    this.files = files;
  }
}

export interface OutputFile {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

/** An output that is not JSON: bytes, in pieces that follow each other. */
export class EncodedOutput {
  readonly parts: readonly Uint8Array[];
  readonly mediaType: string;
  constructor(parts: readonly Uint8Array[], mediaType: string) {
    this.parts = parts;
    this.mediaType = mediaType;
  }
}

/** A loaded pipeline. It is given one batch at a time. */
export interface Pipeline {
  /** Throws `InvalidInputError` for what only decoding or running could find. */
  infer(item: PipelineInput, context: InferenceContext): Promise<PipelineOutput>;
  /**
   * Runs several items of the same batch key as one; the outputs in their order. When it throws,
   * each item is run alone. It emits no parts.
   */
  inferBatch?(
    items: readonly PipelineInput[],
    contexts: readonly InferenceContext[],
  ): Promise<readonly PipelineOutput[]>;
}

/** The output has become larger than it may be. */
export class OutputTooLargeError extends Error {
  override readonly name = 'OutputTooLargeError';
}

/** The input is at fault, and only decoding or running it could show that. */
export class InvalidInputError extends Error {
  override readonly name = 'InvalidInputError';
  /** What is wrong in one word, for programs; null: it has none. */
  readonly reason: string | null;
  constructor(message: string, options: ErrorOptions & { readonly reason?: string | null } = {}) {
    super(message, options);
    this.reason = options.reason ?? null;
  }
}
