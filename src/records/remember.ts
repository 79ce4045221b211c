/** What takes long is read less often, so that reading takes a tenth of the time at most. */
const PAUSES_PER_READING = 10;

/**
 * Keeps what `read` gives for `freshMs`, or longer when reading takes long. Concurrent calls share one reading;
 * a failure is not kept.
 */
export function remember<T>(read: () => Promise<T>, freshMs: number): () => Promise<T> {
  let value: Promise<T> | null = null;
  let freshUntilMs = Infinity;
  const readNow = async () => {
    const startedAtMs = performance.now();
    try {
      const result = await read();
      const tookMs = performance.now() - startedAtMs;
      freshUntilMs = startedAtMs + Math.max(freshMs, PAUSES_PER_READING * tookMs);
      return result;
    } catch (error) {
      value = null;
      throw error;
    }
  };
  return async () => {
    if (value === null || performance.now() > freshUntilMs) {
      freshUntilMs = Infinity; // until it has been read
      value = readNow();
    }
    return await value;
  };
}
