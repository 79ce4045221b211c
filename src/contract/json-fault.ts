import { messageOf } from './failure.ts';

/** What is wrong with a text that is no JSON. Nothing of the text is in it, because that may be a secret. */
export const jsonFault = (error: unknown): string =>
  messageOf(error).replace(/,? (?:\.\.\.)?".*$/s, ''); // V8 quotes what stands around the place
