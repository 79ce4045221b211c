/** One version of a served model: `ocr@1`. */
export interface ModelRef {
  readonly name: string;
  readonly version: number;
}

/** A model that is not ready after so long hangs: a large one on a slow disk takes less. */
export const LOAD_TIMEOUT_MS = 120_000;

const MODEL_NAME = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;
const MODEL_VERSION = /^[1-9]\d{0,8}$/;

export const isModelName = (text: string): boolean => MODEL_NAME.test(text);

/** Versions are positive integers, compared as numbers; null when `text` is not one. */
export const parseModelVersion = (text: string): number | null =>
  MODEL_VERSION.test(text) ? Number(text) : null;

/** Whether a path is relative, of plain names, and stays in its folder. */
export const isPlainPath = (path: string): boolean =>
  /^[\w.-]+(?:\/[\w.-]+)*$/.test(path) && !path.split('/').includes('..');

/** A model version, as part of something else. */
export const modelRefOf = (of: { readonly model: string; readonly version: number }): ModelRef => ({
  name: of.model,
  version: of.version,
});

export const formatModelRef = (ref: ModelRef): string => `${ref.name}@${ref.version}`;

/** Reads `ocr` (version null: the default one) or `ocr@1`; null when it is neither. */
export function parseModelRef(
  text: string,
): { readonly name: string; readonly version: number | null } | null {
  const [name = '', version, ...rest] = text.split('@');
  if (!isModelName(name) || rest.length > 0) return null;
  if (version === undefined) return { name, version: null };
  const parsed = parseModelVersion(version);
  return parsed === null ? null : { name, version: parsed };
}

/** `model.json`, with every default filled in. */
export interface Manifest {
  readonly pipeline: string;
  readonly description: string;
  /** The pipeline's files by role. Paths resolve against the version's folder. */
  readonly files: Readonly<Record<string, { readonly path: string; readonly sha256?: string }>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly batching: {
    /** 1: no dynamic batching. */
    readonly max_size: number;
    /** How long an inference may wait for others to share its batch; 0: not at all. */
    readonly max_delay_ms: number;
  };
  readonly resources: {
    /** How many threads one run may use. */
    readonly threads: number;
    /** How many model processes serve the version on one device. */
    readonly replicas: number;
    /** A model process that needs more is killed. */
    readonly memory_mb: number;
    /** A model process is replaced after this many runs; null: never for that reason. */
    readonly max_runs: number | null;
    readonly preload: boolean;
  };
  readonly timeouts: { readonly run_s: number };
  readonly license: string | null;
  readonly source: string | null;
}
