/*
 * `unit` needs no server, `integration` a Temporal dev server, `system` the whole service. Several files of these
 * run at once. Files of `alone` kill what they share a machine with, or measure times: one after the other, when
 * nothing else runs.
 */
const project = (name, options = {}) => ({
  displayName: name,
  roots: [`<rootDir>/test/${name}`],
  testMatch: ['**/*.test.ts'],
  transform: {
    '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } } }],
  },
  ...options,
});

/** A Temporal server for each jest worker. */
const sharedTemporal = {
  globalSetup: '<rootDir>/test/support/shared-temporal.ts',
  globalTeardown: '<rootDir>/test/support/stop-shared-temporal.ts',
};

export default {
  projects: [
    project('unit'),
    project('integration', sharedTemporal),
    project('system', sharedTemporal),
    project('alone', { runner: '<rootDir>/test/support/alone-runner.js' }),
  ],
  testTimeout: 60_000,
};
