/* node examples/webhook-receiver/receiver.mjs [port]: prints each webhook whose signature is right. */
import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';

const [port = '9000'] = process.argv.slice(2);
const buzzer = process.env['BUZZER_URL'] ?? 'http://127.0.0.1:8080';
const key = process.env['BUZZER_API_KEY']; // where the service asks for one; it needs the scope admin
const headers = key === undefined ? {} : { Authorization: `Bearer ${key}` };
const secret = async () =>
  (await (await fetch(`${buzzer}/v1/webhook_secret`, { headers })).json()).secret;
const webhook = new Webhook(process.env['WEBHOOK_SECRET'] ?? (await secret()));

createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  try {
    const { type, data } = webhook.verify(body, request.headers);
    console.log(request.headers['webhook-id'], type, data.status ?? '');
    response.writeHead(204).end(); // fast: work that takes longer belongs behind a queue of yours
  } catch (error) {
    response.writeHead(401).end(error.message);
  }
}).listen(Number(port), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${port}/`));
