/*
 * Submit a page, wait, read its text: npx tsx examples/client.ts [image] [url]
 * Needs nothing but Node's own fetch.
 */
import { readFile } from 'node:fs/promises';

interface Prediction {
  readonly id: string;
  readonly status: string;
  readonly completed_at: string | null;
  readonly output: { readonly text: string } | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly urls: { readonly get: string };
}

const [image = 'examples/page.png', url = 'http://127.0.0.1:8080'] = process.argv.slice(2);

const key = process.env['BUZZER_API_KEY']; // where the service asks for one
const authorization: Record<string, string> =
  key === undefined ? {} : { Authorization: `Bearer ${key}` };

async function toPrediction(response: Response): Promise<Prediction> {
  if (response.ok) return (await response.json()) as Prediction;
  const { detail } = (await response.json()) as { detail: string };
  console.error(`${response.status}: ${detail}`);
  process.exit(1);
}

const submitted = await fetch(`${url}/v1/models/ocr/predictions`, {
  method: 'POST',
  headers: { 'Content-Type': 'image/png', ...authorization },
  body: await readFile(image),
});
let prediction = await toPrediction(submitted);
console.log(`${prediction.id} is ${prediction.status}`);

// Each request waits up to a minute on the server: no polling, and nothing is lost when it breaks.
while (prediction.completed_at === null) {
  const answer = await fetch(`${prediction.urls.get}?wait=60`, { headers: authorization });
  prediction = await toPrediction(answer);
}
if (prediction.error !== null)
  throw new Error(`${prediction.error.code}: ${prediction.error.message}`);
console.log(prediction.output?.text);
