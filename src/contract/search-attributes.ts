/** Search attributes, set at start: `endpoint` on deliveries, `outcome` only to `aborted`. */
export const SEARCH_ATTRIBUTES = {
  model: { name: 'BuzzerModel', type: 'KEYWORD' },
  version: { name: 'BuzzerVersion', type: 'KEYWORD' },
  tenant: { name: 'BuzzerTenant', type: 'KEYWORD' },
  tags: { name: 'BuzzerTags', type: 'KEYWORD_LIST' },
  endpoint: { name: 'BuzzerEndpoint', type: 'KEYWORD' },
  outcome: { name: 'BuzzerOutcome', type: 'KEYWORD' },
} as const;
