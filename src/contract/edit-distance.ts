/** Characters to insert, remove or replace (Levenshtein, 1965). */
export function editsBetween(truth: string, text: string): number {
  let previous = Uint32Array.from({ length: text.length + 1 }, (_, index) => index);
  for (const [row, character] of truth.split('').entries()) {
    const current = new Uint32Array(text.length + 1);
    current[0] = row + 1;
    for (let column = 0; column < text.length; column++) {
      const replaced = (previous[column] ?? 0) + (text[column] === character ? 0 : 1);
      const moved = Math.min(previous[column + 1] ?? 0, current[column] ?? 0) + 1;
      current[column + 1] = Math.min(replaced, moved);
    }
    previous = current;
  }
  return previous.at(-1) ?? 0;
}
