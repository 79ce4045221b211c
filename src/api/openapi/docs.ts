/* /openapi.json, and /docs: a page that shows it, with nothing from anybody else's server. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Router } from 'express';
import { mayRead } from '../http/access.ts';
import { openApiDocument, type OpenApiSettings } from './document.ts';
import { Problem } from '../http/problems.ts';

const SWAGGER_UI = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
const ASSETS = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'];

const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <title>Buzzer API</title>
    <link rel="icon" href="/docs/favicon-32x32.png" />
    <link rel="stylesheet" href="/docs/swagger-ui.css" />
  </head>
  <body>
    <div id="ui"></div>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/init.js"></script>
  </body>
</html>
`;

const INIT = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#ui', validatorUrl: null, deepLinking: true });
`;

/**
 * The models may change while it is up: the document is made when it is asked for. Who may not read
 * what the models are does not read it here.
 */
export function docsRouter(settings: Omit<OpenApiSettings, 'withModels'>): Router {
  const router = Router();
  const made = new Map<boolean, { of: readonly unknown[]; body: Buffer }>();
  const bodyFor = (withModels: boolean): Buffer => {
    const models = settings.repository.all();
    const known = made.get(withModels);
    const isSame =
      models.length === known?.of.length && models.every((each, i) => each === known.of[i]);
    if (known !== undefined && isSame) return known.body;
    const body = Buffer.from(JSON.stringify(openApiDocument({ ...settings, withModels })));
    made.set(withModels, { of: models, body }); // all answers share its bytes
    return body;
  };
  router.get('/openapi.json', (_request, response) => {
    response.type('json').send(bodyFor(mayRead(response)));
  });
  router.get('/docs', (_request, response) => void response.type('html').send(PAGE));
  router.get('/docs/init.js', (_request, response) => void response.type('js').send(INIT));
  router.get('/docs/:asset', (request, response) => {
    const { asset } = request.params;
    if (!ASSETS.includes(asset)) throw new Problem('not_found', `nothing is at ${request.path}`);
    response.sendFile(join(SWAGGER_UI, asset), { maxAge: '1h' });
  });
  return router;
}
