/** Whose everything is, while there are no API keys. */
export const TENANT = 'default';
