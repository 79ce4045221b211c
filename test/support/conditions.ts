/** Waits until `check` answers something that is not undefined; fails with `what` when it never does. */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined> | T | undefined,
  patienceMs = 30_000,
): Promise<T> {
  const giveUpAtMs = Date.now() + patienceMs;
  for (;;) {
    const value = await check();
    if (value !== undefined) return value;
    if (Date.now() > giveUpAtMs) throw new Error(`waited ${patienceMs} ms in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
