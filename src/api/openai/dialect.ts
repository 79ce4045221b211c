import type { Dialect } from '../http/dialect.ts';

/** Our codes, where OpenAI has a word of its own. */
const CODES: ReadonlyMap<unknown, string> = new Map([
  ['unauthorized', 'invalid_api_key'],
  ['rate_limited', 'rate_limit_exceeded'],
  ['invalid_input', 'invalid_value'],
]);

/** Errors as the clients of OpenAI read them: https://platform.openai.com/docs/guides/error-codes */
export const OPENAI: Dialect = {
  errorType: 'application/json',
  statusOf: (status) => (status === 422 ? 400 : status),
  errorBody: ({ detail, status, code, errors, param, reason, ...rest }) => ({
    error: {
      message: detail,
      type: typeOf(Number(status)),
      param: param ?? paramOf(errors),
      code: reason ?? CODES.get(code) ?? code,
    },
    request_id: rest['request_id'],
    ...(rest['prediction_id'] === undefined ? {} : { prediction_id: rest['prediction_id'] }),
  }),
};

function typeOf(status: number): string {
  if (status === 429) return 'rate_limit_error';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

/** `/messages/0/role` as OpenAI writes it: `messages.0.role`; a place in the order as one in the request. */
function paramOf(errors: unknown): string | null {
  const [first] = (Array.isArray(errors) ? errors : []) as readonly { readonly pointer?: string }[];
  const [top = '', ...below] = first?.pointer?.split('/').slice(1) ?? [];
  const isOfOrder = (top === 'input' || top === 'options') && /^[a-z]/.test(below[0] ?? '');
  const [name = '', ...rest] = isOfOrder ? below : [top, ...below];
  return name === '' ? null : [NAMES.get(name) ?? name, ...rest].join('.');
}

/** Our names of members, where OpenAI has others. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ['inputs', 'input'],
  ['max_new_tokens', 'max_tokens'],
  ['width', 'size'],
  ['height', 'size'],
  ['num_outputs', 'n'],
  ['output_quality', 'output_compression'],
]);
