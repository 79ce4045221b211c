/** Waits until `check` answers something that is not undefined; fails with `what` when it never does. */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined> | T | undefined,
  patienceMs = 30_000,
): Promise<T> {
  const sinceMs = Date.now();
  for (;;) {
    const value = await check();
    if (value !== undefined) return value;
    const waitedMs = Date.now() - sinceMs;
    if (waitedMs > patienceMs) throw new Error(`waited ${patienceMs} ms in vain for: ${what}`);
    // What takes long is asked for less often: asking costs time that the service needs.
    const pauseMs = Math.min(500, Math.max(25, waitedMs / 20));
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
