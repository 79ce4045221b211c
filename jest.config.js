/** `unit` needs no server, `integration` a Temporal dev server, `system` the whole service. */
const project = (name, options = {}) => ({
  displayName: name,
  roots: [`<rootDir>/test/${name}`],
  testMatch: ['**/*.test.ts'],
  transform: {
    '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } } }],
  },
  ...options,
});

export default {
  projects: [project('unit'), project('integration'), project('system')],
  testTimeout: 60_000,
};
