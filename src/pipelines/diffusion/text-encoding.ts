/* Prompts as the network takes them. */
import type { GraphSignature } from '../../contract/tensor.ts';
import type { Session } from '../../onnx/session.ts';
import type { PipelineSettings } from '../definition.ts';
import { ClipTokenizer } from './clip-tokenizer.ts';
import { TOKENIZERS } from './layout.ts';
import type { ModelFacts } from './model-facts.ts';
import type { Networks } from './networks.ts';
import { tensorFor, valuesOf } from './tensors.ts';

/** One prompt. */
export interface Conditioning {
  /** [tokens, width] */
  readonly states: Float32Array;
  readonly tokens: number;
  readonly width: number;
  /** The prompt as a whole; null: the model takes none. */
  readonly pooled: Float32Array | null;
}

/** The text encoders of one model. */
export class TextEncoding {
  readonly #facts: ModelFacts;
  readonly #graphs: PipelineSettings['graphs'];
  readonly #networks: Networks;
  readonly #tokenizers: ReadonlyMap<string, ClipTokenizer>;

  private constructor(
    facts: ModelFacts,
    graphs: PipelineSettings['graphs'],
    networks: Networks,
    tokenizers: ReadonlyMap<string, ClipTokenizer>,
  ) {
    this.#facts = facts;
    this.#graphs = graphs;
    this.#networks = networks;
    this.#tokenizers = tokenizers;
  }

  static async open(
    facts: ModelFacts,
    { files, graphs }: PipelineSettings,
    networks: Networks,
  ): Promise<TextEncoding> {
    const tokenizers = new Map<string, ClipTokenizer>();
    for (const encoder of facts.encoders) {
      const folder = TOKENIZERS[encoder] ?? '';
      const tokenizer = await ClipTokenizer.open({
        config: files[`${folder}/tokenizer_config.json`] ?? '',
        whole: files[`${folder}/tokenizer.json`],
        vocabulary: files[`${folder}/vocab.json`],
        merges: files[`${folder}/merges.txt`],
      });
      tokenizers.set(encoder, tokenizer);
    }
    return new TextEncoding(facts, graphs, networks, tokenizers);
  }

  /** Several prompts; each encoder is used once for all of them. */
  async encodeAll(prompts: readonly string[]): Promise<readonly Conditioning[]> {
    const byEncoder: Conditioning[][] = [];
    for (const encoder of this.#facts.encoders) {
      const encoded = await this.#networks.use(encoder, async (session) => {
        const all: Conditioning[] = [];
        for (const prompt of prompts) all.push(await this.#run(session, encoder, prompt));
        return all;
      });
      byEncoder.push(encoded);
    }
    return prompts.map((_prompt, index) => besideEachOther(byEncoder.map((all) => all[index])));
  }

  async #run(session: Session, encoder: string, prompt: string): Promise<Conditioning> {
    const ids = (this.#tokenizers.get(encoder) as ClipTokenizer).encode(prompt);
    const graph = this.#graphs[encoder] as GraphSignature;
    const input = graph.inputs[0] ?? { datatype: 'INT64' };
    const outputs = await session.run({ input_ids: tensorFor(input, ids, [1, ids.length]) });
    const chosen = outputs[statesOf(graph, this.#facts)];
    const whole = this.#facts.isXl ? outputs['text_embeds'] : undefined;
    if (chosen === undefined) throw new Error(`${encoder} gave no hidden states`);
    return {
      states: valuesOf(chosen),
      tokens: ids.length,
      width: chosen.dims.at(-1) ?? 0,
      pooled: whole === undefined ? null : valuesOf(whole),
    };
  }
}

/** Several encoders stand beside each other in each token; the last of them gives the prompt as a whole. */
function besideEachOther(all: readonly (Conditioning | undefined)[]): Conditioning {
  const encoded = all.filter((each) => each !== undefined);
  const [only] = encoded;
  if (only !== undefined && encoded.length === 1) return only;
  const tokens = encoded[0]?.tokens ?? 0;
  const width = encoded.reduce((sum, each) => sum + each.width, 0);
  const states = new Float32Array(tokens * width);
  let offset = 0;
  for (const each of encoded) {
    for (let token = 0; token < tokens; token++) {
      const row = each.states.subarray(token * each.width, (token + 1) * each.width);
      states.set(row, token * width + offset);
    }
    offset += each.width;
  }
  return { states, tokens, width, pooled: encoded.at(-1)?.pooled ?? null };
}

/** The output that the network was trained on: for XL the last layer but one. */
function statesOf({ outputs }: GraphSignature, { isXl }: ModelFacts): string {
  if (!isXl) return 'last_hidden_state';
  const layers = outputs
    .map(({ name }) => /^hidden_states\.(\d+)$/.exec(name)?.[1])
    .flatMap((layer) => (layer === undefined ? [] : [Number(layer)]));
  return `hidden_states.${Math.max(...layers) - 1}`;
}

/** Nothing: what the network of an XL model is given for an absent negative prompt. */
export const emptied = ({ states, pooled, ...same }: Conditioning): Conditioning => ({
  ...same,
  states: new Float32Array(states.length),
  pooled: pooled === null ? null : new Float32Array(pooled.length),
});
