/*
 * Every answer that a test gets from a service is held against the service's own OpenAPI document:
 * its status, its media type, its headers and its body.
 */
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { operationOf } from '../../src/api/operations.ts';

interface Answers {
  readonly headers?: Record<string, { required?: boolean }>;
  readonly content?: Record<string, unknown>;
}
interface Document {
  readonly paths: Record<string, Record<string, { responses: Record<string, Answers> }>>;
}
interface Described {
  readonly document: Document;
  readonly validator: Ajv2020;
}

const plainFetch = globalThis.fetch;
const described = new Map<string, Promise<Described | null>>();

/** From now on each `fetch` from there fails when its answer is not what the document says. */
export function checkAnswersOf(url: string): void {
  described.set(url, Promise.resolve(null));
  globalThis.fetch = async (input, init) => {
    const answer = await plainFetch(input, init);
    const { origin, pathname } = new URL(input instanceof Request ? input.url : input);
    if (!described.has(origin)) return answer;
    const known = await describe(origin);
    const method = (init?.method ?? 'GET').toUpperCase();
    return known === null ? answer : await checked(answer, method, pathname, known);
  };
}

/** Null while the API is down. */
async function describe(origin: string): Promise<Described | null> {
  const known = await described.get(origin);
  if (known) return known;
  const reading = plainFetch(`${origin}/openapi.json`).then(
    async (answer) => {
      const document = (await answer.json()) as Document;
      const validator = new Ajv2020({ strict: false, allErrors: true });
      addFormats.default(validator);
      validator.addSchema(document, 'openapi');
      return { document, validator };
    },
    () => null,
  );
  described.set(origin, reading);
  return await reading;
}

async function checked(
  answer: Response,
  method: string,
  path: string,
  { document, validator }: Described,
): Promise<Response> {
  const template = templateOf(method, path);
  const operation =
    template === null ? undefined : document.paths[template]?.[method.toLowerCase()];
  if (template === null || operation === undefined) return answer; // 404, 405, and the document itself
  const { status } = answer;
  const where = `${method} ${path} answered ${status}`;
  const documented = operation.responses[String(status)];
  if (documented === undefined) {
    throw new Error(`${where}, which is not documented: ${await answer.text()}`);
  }
  for (const [name, { required = false }] of Object.entries(documented.headers ?? {})) {
    if (required && !answer.headers.has(name)) throw new Error(`${where} without ${name}`);
  }
  const type = answer.headers.get('Content-Type')?.split(';')[0];
  const { content } = documented;
  if (type === undefined || content === undefined) return answer;
  if (!(type in content) && !('*/*' in content)) throw new Error(`${where} as ${type}`);
  if (!/[/+]json$/.test(type)) return answer;
  const pointer = ['paths', template, method.toLowerCase(), 'responses', String(status)]
    .concat(['content', type, 'schema'])
    .map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')))
    .join('/');
  const text = await answer.text();
  const validate = validator.getSchema(`openapi#/${pointer}`); // compiled once
  if (validate === undefined) throw new Error(`${where}: its schema ${pointer} cannot be found`);
  if (!validate(JSON.parse(text))) {
    throw new Error(`${where}: ${validator.errorsText(validate.errors)}; it is ${text}`);
  }
  return new Response(text, { status, headers: answer.headers });
}

/** The path of the operation as the document has it; null when it is none. */
function templateOf(method: string, path: string): string | null {
  try {
    return operationOf({ method, path }).path;
  } catch {
    return null;
  }
}
