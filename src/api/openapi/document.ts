/* /openapi.json: the OpenAPI 3.1 document, made of the schemas that validate. */
import { z } from 'zod';
import { createDocument, type oas31, type ZodOpenApiPathsObject } from 'zod-openapi';
import type { ModelRepository, ModelVersion } from '../../models/repository.ts';
import { webhookMessage } from './answers.ts';
import { DOCUMENTED } from './documented.ts';
import type { DocumentedId } from './parts.ts';
import { type Operation, OPERATIONS } from '../operations.ts';
import { modelRequestSchema } from '../../submission/request-schema.ts';

export interface OpenApiSettings {
  readonly repository: ModelRepository;
  readonly publicUrl: string;
  /** Of Buzzer itself. */
  readonly softwareVersion: string;
  /** Whether there are API keys at all. */
  readonly needsKeys: boolean;
  /** Whether the models are in it. */
  readonly withModels: boolean;
}

export type OpenApiDocument = ReturnType<typeof createDocument>;

/** With the models that are served now. */
export function openApiDocument(settings: OpenApiSettings): OpenApiDocument {
  const { repository, publicUrl, softwareVersion, needsKeys, withModels } = settings;
  return createDocument(
    {
      openapi: '3.1.1',
      info: {
        title: 'Buzzer',
        version: softwareVersion,
        description: 'Durable asynchronous inference. docs/api.md walks through it.',
      },
      servers: [{ url: publicUrl }],
      tags: TAGS.map((name) => ({ name })),
      paths: { ...paths(needsKeys), ...(withModels ? modelPaths(repository, needsKeys) : {}) },
      webhooks: {
        prediction: {
          post: {
            summary: 'A prediction or a batch has ended (Standard Webhooks)',
            requestBody: { content: { 'application/json': { schema: webhookMessage } } },
            responses: { '200': { description: 'Any 2xx: it is delivered' } },
          },
        },
      },
      ...(needsKeys ? { components: { securitySchemes: { key: KEY } } } : {}),
    },
    { override: ({ jsonSchema }) => plain(jsonSchema) },
  );
}

/** In the order in which a reader meets them. */
const TAGS = [
  'Predictions',
  'Batches',
  'Files',
  'Webhooks',
  'Service',
  'OpenAI',
  'Open Inference Protocol',
  'Models',
];

const KEY = { type: 'http', scheme: 'bearer', description: 'An API key: `bz_…`' } as const;

function paths(needsKeys: boolean): ZodOpenApiPathsObject {
  const found: Record<string, Record<string, object>> = {};
  for (const operation of OPERATIONS) {
    const { id, method, path } = operation;
    if (!isDocumented(id)) continue;
    const own = DOCUMENTED[id];
    const { description: needs, ...security } = secured(operation, needsKeys);
    const description = [own.description, needs].filter((text) => text !== undefined).join(' ');
    const described = {
      operationId: id,
      ...own,
      ...security,
      ...(description === '' ? {} : { description }),
    };
    found[path] = { ...found[path], [method.toLowerCase()]: described };
  }
  return found;
}

const isDocumented = (id: string): id is DocumentedId => Object.hasOwn(DOCUMENTED, id);

const secured = (
  { scope }: Operation,
  needsKeys: boolean,
): { readonly security?: { key: never[] }[]; readonly description?: string } =>
  scope === null || !needsKeys
    ? {}
    : { security: [{ key: [] }], description: `Needs a key with the scope \`${scope}\`.` };

/** Each model as a path of its own, with what it takes in its place. */
function modelPaths(repository: ModelRepository, needsKeys: boolean): ZodOpenApiPathsObject {
  return Object.fromEntries(
    repository
      .defaults()
      .map((version) => [
        `/v1/models/${version.ref.name}/predictions`,
        { post: modelOperation(version, needsKeys) },
      ]),
  );
}

function modelOperation({ ref, manifest, schema }: ModelVersion, needsKeys: boolean) {
  const { requestParams, responses } = DOCUMENTED.createModelPrediction;
  const { header, query } = requestParams ?? {};
  const request = jsonSchema(modelRequestSchema, 'input');
  // What its input is checked against last and in full: what comes before are limits of size.
  const input = jsonSchema(schema.forms ?? schema.input, 'output');
  const options = jsonSchema(schema.options, 'input');
  const properties = { ...request.properties, input, options };
  const body = { ...request, properties } as oas31.SchemaObject;
  const media = Object.values(schema.media);
  const binary = { schema: { type: 'string', format: 'binary' } };
  const raw = [
    ...(media.length === 1 ? [...(media[0]?.accept ?? []), 'application/octet-stream'] : []),
    ...Object.keys(schema.bodies),
  ];
  const file = { type: 'string', format: 'binary' } as const;
  const files = Object.fromEntries(Object.keys(schema.media).map((name) => [name, file]));
  const rest = { type: 'string', description: 'The rest, as JSON.' } as const;
  const form = { schema: { type: 'object', properties: { ...files, request: rest } } as const };
  return {
    operationId: `predict_${ref.name}`,
    tags: ['Models'],
    summary: manifest.description || ref.name,
    requestParams: { ...(header ? { header } : {}), ...(query ? { query } : {}) },
    requestBody: {
      required: true,
      content: {
        'application/json': {
          schema: body,
          ...(schema.example === null ? {} : { example: { input: schema.example } }),
        },
        ...Object.fromEntries(raw.map((type) => [type, binary])),
        ...(media.length === 0 ? {} : { 'multipart/form-data': form }),
      },
    },
    responses,
    ...secured({ id: '', method: 'POST', path: '', scope: 'predict' }, needsKeys),
  };
}

type JsonSchema = Record<string, unknown>;

/** The rendering of a schema that OpenAPI takes as it is. */
function jsonSchema(schema: z.ZodType, io: 'input' | 'output') {
  const { $schema: _dialect, ...rendered } = z.toJSONSchema(schema, {
    io,
    override: ({ jsonSchema }) => plain(jsonSchema),
  });
  return rendered as JsonSchema & { readonly properties?: JsonSchema };
}

/** Takes out what a reader would stumble over: bounds that are only JavaScript's, a date's long pattern. */
function plain(schema: JsonSchema): void {
  if (schema['minimum'] === Number.MIN_SAFE_INTEGER) delete schema['minimum'];
  if (schema['maximum'] === Number.MAX_SAFE_INTEGER) delete schema['maximum'];
  if (schema['format'] === 'date-time') delete schema['pattern'];
}
