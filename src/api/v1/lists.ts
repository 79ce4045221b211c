/** What every list looks like; `next` leads to the page after it. */
export const listOf = (data: readonly unknown[], next: string | null = null) => ({
  object: 'list',
  data,
  has_more: next !== null,
  next_cursor: next,
});
