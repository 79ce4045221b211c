/*
 * What a pipeline is. Its schema half (schema.ts) is pure data and zod: the API validates and
 * documents with it. Its running half (pipeline.ts) is loaded only in a model process.
 */
import type { z } from 'zod';
import type { Manifest } from '../contract/model.ts';
import type { Json } from '../contract/payload.ts';
import type { GraphSignature } from '../contract/tensor.ts';

/** The signatures of a model's graphs, by the role of their file in the manifest. */
export type Graphs = Readonly<Record<string, GraphSignature>>;

export interface MediaLimits {
  readonly maxPixels: number;
}

/** Media that cannot be accepted; the message is for the client. */
export class InvalidMediaError extends Error {
  override readonly name = 'InvalidMediaError';
}

/** An input field that takes media: bytes with a media type rather than JSON. */
export interface MediaField {
  /** The media types it takes, the preferred one first. */
  readonly accept: readonly string[];
  /**
   * Looks at the first bytes of an upload. Returns the media type they really are, or null while
   * more bytes are needed to tell; throws `InvalidMediaError`.
   */
  inspect(head: Uint8Array, limits: MediaLimits): string | null;
}

export interface PipelineSchema {
  readonly input: z.ZodObject;
  readonly options: z.ZodObject;
  readonly output: z.ZodType;
  /** The media fields of `input`, by name. */
  readonly media: Readonly<Record<string, MediaField>>;
}

/** Every pipeline's schema.ts exports one of these; it throws when the manifest does not fit. */
export type DescribePipeline = (manifest: Manifest, graphs: Graphs) => PipelineSchema;

/** What a pipeline is opened with, in its model process. */
export interface PipelineSettings {
  readonly manifest: Manifest;
  /** Absolute paths of the manifest's files, by role; their hashes have been checked. */
  readonly files: Readonly<Record<string, string>>;
  readonly graphs: Graphs;
  readonly device: string;
  readonly limits: MediaLimits;
}

interface InferenceContext {
  /** Tells how far the inference has come; `fraction` is 0 to 1. */
  report(fraction: number, message: string): void;
}

/** A loaded pipeline. It is given one inference at a time. */
export interface Pipeline {
  /**
   * Media fields of `input` are `Uint8Array`, everything else is JSON that the schema has accepted;
   * `options` have their defaults filled in. Throws
   * `InvalidInputError` for what only decoding or running could find.
   */
  infer(
    input: Readonly<Record<string, unknown>>,
    options: Readonly<Record<string, unknown>>,
    context: InferenceContext,
  ): Promise<Json>;
}

/** The input is at fault, and only decoding or running it could tell. */
export class InvalidInputError extends Error {
  override readonly name = 'InvalidInputError';
}
