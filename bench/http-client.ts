import { Agent, type IncomingMessage, request } from 'node:http';

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

/** A lean client: `fetch` alone costs as much CPU as what is measured here. Throws unless 200 or 201. */
export async function call(
  method: 'GET' | 'POST',
  url: string,
  headers: Readonly<Record<string, string>> = {},
  body?: string | Buffer,
): Promise<unknown> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
    request(url, { method, agent, headers: { ...headers, ...length } }, resolve)
      .once('error', reject)
      .end(body);
  });
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  if (response.statusCode !== 200 && response.statusCode !== 201)
    throw new Error(`${response.statusCode}: ${text}`);
  return JSON.parse(text);
}
