/* What `npm start` prints when every part is ready. It shows only commands that work as they are. */
import type { Config } from '../config.ts';

/** `hasOcr`: whether the model of the first example is served. */
export function banner(config: Config, hasOcr: boolean): string {
  const { publicUrl, keysFile, temporal, uiPort } = config;
  const ui = temporal.isExternal
    ? `the one of ${temporal.connection.address}`
    : `http://127.0.0.1:${uiPort}/namespaces/${temporal.namespace}/workflows`;
  const key = keysFile === null ? '' : ` -H "Authorization: Bearer $BUZZER_KEY"`;
  const curl = `curl -s${key} ${localUrl(config)}`;
  return `
Buzzer is ready.

  API              ${publicUrl}/v1
  Reference        ${publicUrl}/docs
  Temporal Web UI  ${ui}
${keysFile === null ? '' : KEYS}${hasOcr ? readAPage(curl) : ''}
Webhooks are signed with this secret:  ${curl}/v1/webhook_secret

Ctrl-C stops it. What was accepted is kept, and goes on at the next start.
`;
}

const KEYS = `
Requests need an API key. Make one and keep what it prints in BUZZER_KEY:

  npm run keys -- create --tenant acme --scopes predict,read,admin
`;

const readAPage = (curl: string): string => `
Read a page:

  ${curl}/v1/models/ocr/predictions -H 'Prefer: wait' -H 'Content-Type: image/png' --data-binary @examples/page.png
`;

/** The URL at which this machine reaches the API. */
function localUrl({ host, port }: Config): string {
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`;
}
