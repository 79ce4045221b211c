/** Something that a person has to decide or repair; the message says what. Trying again does not help. */
export class HubError extends Error {
  override readonly name = 'HubError';
}
