/** Keeps what `read` gives for `freshMs`. Concurrent calls share one reading; a failure is not kept. */
export function remember<T>(read: () => Promise<T>, freshMs: number): () => Promise<T> {
  let value: Promise<T> | null = null;
  let readAtMs = 0;
  return async () => {
    if (value === null || Date.now() - readAtMs > freshMs) {
      readAtMs = Date.now();
      value = read();
      value.catch(() => {
        value = null;
      });
    }
    return await value;
  };
}
