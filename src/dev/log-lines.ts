import { styleText } from 'node:util';

const COLORS = ['cyan', 'green', 'magenta', 'yellow'] as const;
const HIDDEN = new Set(['level', 'time', 'component', 'msg', 'request_id']);

/** Prints lines under a name, in columns; JSON log lines become readable ones. */
export function createPrinter(names: readonly string[], isColored: boolean) {
  const width = Math.max(...names.map((name) => name.length));
  return (name: string) => {
    const color = COLORS[names.indexOf(name) % COLORS.length] ?? 'cyan';
    const label = name.padEnd(width);
    const prefix = isColored ? styleText(color, label) : label;
    return (line: string): void => {
      process.stdout.write(`${prefix}  ${readable(line)}\n`);
    };
  };
}

/** `{"level":"info","msg":"ready","identity":"x"}` → `ready identity=x`. */
function readable(line: string): string {
  if (!line.startsWith('{')) return line;
  try {
    const entry = JSON.parse(line) as Record<string, unknown>;
    if (typeof entry['msg'] !== 'string') return line;
    const level = entry['level'] === 'info' ? '' : `${String(entry['level']).toUpperCase()} `;
    const fields = Object.entries(entry)
      .filter(([name]) => !HIDDEN.has(name))
      .map(([name, value]) => ` ${name}=${fieldText(value)}`);
    return `${level}${entry['msg']}${fields.join('')}`;
  } catch {
    return line;
  }
}

function fieldText(value: unknown): string {
  if (typeof value === 'string') return value;
  return (value as { stack?: string } | null)?.stack ?? JSON.stringify(value);
}
