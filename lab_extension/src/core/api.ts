import type { Question } from './question';
import { parseRefusal, Refusal } from './refusal';
import type { Outcome, Row } from './rows';

export type Language = 'fr' | 'en';

/** The same in both languages. */
export type Both = Readonly<Record<Language, string>>;

export interface Collection {
  readonly id: string;
  readonly pole: string;
  readonly title: Both;
  readonly period: readonly [string, string];
  readonly licence: string;
  readonly access: string;
  readonly where: string;
  readonly platforms: readonly string[];
  readonly instruments: readonly string[];
  readonly stock: Both;
  readonly simulated: boolean;
}

export interface Vocabulary {
  readonly poles: readonly { id: string; kind: 'pole' | 'provider'; title: Both; portal: string }[];
  readonly themes: readonly { id: string; title: Both; collections: readonly string[] }[];
  readonly collections: readonly Collection[];
  readonly endpoints: readonly { id: string; pole: string; title: Both; dialect: string; url: string }[];
  readonly rules: Readonly<Record<string, { title: Both; how: Both }>>;
  readonly silent: string | null;
}

export interface Place {
  readonly label: string;
  readonly kind: string;
  readonly population: number;
  readonly bbox: readonly [number, number, number, number];
}

/** How a cube is opened: `earthlab.cube.words.CubeWords`. */
export interface CubeWords {
  readonly bands?: readonly string[];
  readonly resolution?: number | null;
  readonly crs?: string | null;
  readonly mask?: string | null;
  readonly group_by?: 'time' | 'solar_day' | 'month' | 'granule';
  readonly share?: boolean;
}

export interface CubeAsked {
  readonly question: Question;
  readonly cube: CubeWords;
  readonly catalogue?: string | null;
}

export interface Choices {
  readonly items: number;
  readonly collections: readonly string[];
  readonly bands: readonly { name: string; common: boolean; unit: string }[];
  readonly masks: readonly { name: string; why: string }[];
  readonly crs: readonly string[];
  readonly resolution: number | null;
}

export interface Plan {
  readonly token: string;
  readonly items: number;
  readonly dates: number;
  readonly bands: readonly { name: string; unit: string }[];
  readonly grid: string;
  readonly mask: { name: string; why: string } | null;
  readonly missing: number;
  readonly reads: number;
  readonly bytes: number;
  readonly tasks: number;
  readonly peak: number;
  readonly seconds: number;
  readonly limit: number | null;
  readonly shared: { created: string } | null;
  readonly simulated: boolean;
  readonly licences: readonly string[];
  readonly access: string;
}

export interface Cell {
  readonly code: string;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** One line of an answer that comes in parts. */
export type Searched =
  | { readonly rows: readonly Row[] }
  | { readonly outcome: Outcome }
  | { readonly done: number }
  | { readonly refused: { code: string; message: string; remedy: string } };

/** Puts a request to the user's server: JupyterLab signs it. Rejects with a TypeError where nobody answers. */
export type Send = (path: string, init: RequestInit) => Promise<Response>;

/** The routes of `earthlab_lab`. Each rejects with a `Refusal`, or an `AbortError` where nobody waits any more. */
export class Api {
  constructor(
    private readonly send: Send,
    readonly language: Language
  ) {}

  vocabulary(): Promise<Vocabulary> {
    return this.get('vocabulary');
  }

  places(text: string, signal?: AbortSignal): Promise<readonly Place[]> {
    return this.get(`places?text=${encodeURIComponent(text)}`, signal);
  }

  choices(asked: CubeAsked, signal?: AbortSignal): Promise<Choices> {
    return this.post('choices', asked, signal);
  }

  plan(asked: CubeAsked, signal?: AbortSignal): Promise<Plan> {
    return this.post('plan', asked, signal);
  }

  cell(asked: CubeAsked): Promise<Cell> {
    return this.post('cell', asked);
  }

  /** The lines of an answer as they come. */
  async *search(question: Question, everywhere: boolean, signal?: AbortSignal): AsyncGenerator<Searched> {
    const answer = await this.put('search', 'POST', { question, everywhere }, signal);
    if (answer.body === null) {
      return;
    }
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    let kept = '';
    try {
      for (;;) {
        const { done, value } = await reader.read();
        const lines = (kept + (value ? decoder.decode(value, { stream: true }) : '')).split('\n');
        kept = lines.pop() ?? '';
        for (const line of lines) {
          yield JSON.parse(line) as Searched;
        }
        if (done) {
          return;
        }
      }
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }

  get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return this.put(path, 'GET', undefined, signal).then(answer => answer.json() as Promise<T>);
  }

  post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
    return this.put(path, 'POST', body, signal).then(answer => answer.json() as Promise<T>);
  }

  async delete(path: string): Promise<void> {
    await this.put(path, 'DELETE', undefined);
  }

  /** What is no JSON: a picture. */
  blob(path: string, signal?: AbortSignal): Promise<Blob> {
    return this.put(path, 'GET', undefined, signal).then(answer => answer.blob());
  }

  private async put(path: string, method: string, body: unknown, signal?: AbortSignal): Promise<Response> {
    const init: RequestInit = { method, headers: { 'Accept-Language': this.language }, signal: signal ?? null };
    if (body !== undefined) {
      init.body = JSON.stringify(body);
    }
    const answer = await this.send(path, init).catch(reason => {
      throw signal?.aborted ? reason : new Refusal('Unreachable', String(reason?.message ?? reason), '');
    });
    if (!answer.ok) {
      throw parseRefusal(answer.status, await answer.json().catch(() => undefined));
    }
    return answer;
  }
}
