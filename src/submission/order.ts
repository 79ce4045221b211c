/* An order: one request for a prediction, whoever asks for it. */
import { isFileId } from '../contract/ids.ts';
import type { Claim, Json } from '../contract/payload.ts';
import { invalidAt, toPointer } from '../contract/refusal.ts';
import type { ModelVersion } from '../models/repository.ts';
import { InvalidFieldError } from '../pipelines/index.ts';
import { parseBody } from './parse.ts';
import type { OrderTerms } from './request-schema.ts';

/** What is known of an order before its body is read. */
export interface OrderHead {
  readonly tenant: string;
  /** The trace that it is part of (W3C), for everything that it causes. */
  readonly traceparent: string | null;
  readonly version: ModelVersion;
  /** How many bytes of its body were read: large JSON is worked on in turns. */
  readonly bodyBytes: number;
  /** Null: it is a new prediction, whatever was asked before. */
  readonly idempotencyKey: string | null;
}

/** One field of an input, and how it comes. */
export type OrderInput =
  | { readonly kind: 'json'; readonly value: Json }
  /** Media as bytes that can be read once. */
  | { readonly kind: 'stream'; readonly body: AsyncIterable<Uint8Array> }
  /** Media as a data URL. */
  | { readonly kind: 'data_url'; readonly text: string }
  /** Media that is fetched before the prediction runs. */
  | { readonly kind: 'url'; readonly url: string }
  /** Media that lies in the store as a file of the tenant. */
  | { readonly kind: 'file'; readonly id: string }
  /** Media that this order has put into the store. */
  | { readonly kind: 'stored'; readonly claim: Claim }
  /** A value that is kept in a form of its own once it has been found valid. */
  | {
      readonly kind: 'encoded';
      readonly value: unknown;
      readonly encode: () => Uint8Array;
      readonly mediaType: string;
    };

/** How a value is kept that is not kept as JSON. */
export type Encoding = Pick<Extract<OrderInput, { kind: 'encoded' }>, 'encode' | 'mediaType'>;

export type OrderInputs = Readonly<Record<string, OrderInput>>;

export interface Order extends OrderHead {
  readonly inputs: OrderInputs;
  readonly terms: OrderTerms;
  /** The request as it was sent, without media and defaults: a repetition is compared with it. */
  readonly asSent: unknown;
  /** See `Accepted`. */
  readonly asked?: Readonly<Record<string, Json>>;
}

declare const isValid: unique symbol;
/** One whose model takes its inputs and options. */
export type ValidOrder = Order & { readonly [isValid]: true };

/** Refuses an order whose model does not take its inputs and options. */
export function validated(order: Order): ValidOrder {
  validateInputs(order.version, order.inputs);
  parseBody(order.version.schema.options, order.terms.options, ['options']);
  return order as ValidOrder;
}

/** Refuses inputs that a model does not take. */
export function validateInputs({ schema }: ModelVersion, inputs: OrderInputs): void {
  const entries = Object.entries(inputs).map(([name, input]) => [name, valueOf(input)]);
  const isLarge = (path: readonly string[]) => schema.isLarge(path.slice(1));
  parseBody(schema.input, Object.fromEntries(entries), ['input'], isLarge);
}

/** What its model's schema looks at. */
function valueOf(input: OrderInput): unknown {
  switch (input.kind) {
    case 'json':
    case 'encoded':
      return input.value;
    case 'data_url':
      return input.text;
    case 'url':
      return input.url;
    case 'file':
      return input.id;
    case 'stream':
    case 'stored':
      return ''; // media is looked at while it is stored
  }
}

/** The inputs in JSON, brought into the one form that their model's schema describes. */
export function jsonInputs({ schema }: ModelVersion, given: unknown): OrderInputs {
  const normal = inField(() => schema.normalize(given));
  return Object.fromEntries(
    Object.entries(normal).map(([name, value]): [string, OrderInput] => {
      const isMedia = Object.hasOwn(schema.media, name) && typeof value === 'string';
      if (!isMedia) return [name, { kind: 'json', value: value as Json }];
      if (isFileId(value)) return [name, { kind: 'file', id: value }];
      const isUrl = /^https?:/i.test(value);
      return [name, isUrl ? { kind: 'url', url: value } : { kind: 'data_url', text: value }];
    }),
  );
}

/** Inputs that came beside the JSON, with those in it; refuses a field that comes twice. */
export function withInputs(inJson: OrderInputs, beside: OrderInputs): OrderInputs {
  const twice = Object.keys(beside).find((name) => Object.hasOwn(inJson, name));
  if (twice === undefined) return { ...inJson, ...beside };
  throw invalidAt(`/${INPUT_MEMBER}/${twice}`, 'comes twice: beside the JSON and in it');
}

/** The inputs with the value of one of them kept in a form of its own. */
export function withEncoded(inputs: OrderInputs, field: string, encoding: Encoding): OrderInputs {
  const input = inputs[field];
  const value = input?.kind === 'json' ? input.value : undefined;
  return { ...inputs, [field]: { kind: 'encoded', value, ...encoding } };
}

const INPUT_MEMBER = 'input';

/** Turns what is wrong with a field into a refusal that says where. */
export function inField<T>(read: () => T, at: readonly string[] = [INPUT_MEMBER]): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof InvalidFieldError)) throw error;
    throw invalidAt(toPointer([...at, ...error.path]), error.message);
  }
}
