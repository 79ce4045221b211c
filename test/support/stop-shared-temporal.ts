/* Jest's globalTeardown. */
export default async function stopSharedServers(): Promise<void> {
  await Promise.all(
    (globalThis.sharedTemporalServers ?? []).map(async (each) => await each.close()),
  );
}
